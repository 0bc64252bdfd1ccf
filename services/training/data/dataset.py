"""From data sets on disk to one cleaned, split, balanced list of examples, with a manifest of what went in.

Promises: no text of a validation or test split is trained on, nor a near copy of one; official test splits stay whole and
uncleaned, as everyone else scores them; the result is the same on every machine for the same files and seed; a set that is
not trainable contributes to no training list. The manifest names each set's licence, files, sha256 and counts per label; it
never holds a text.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from services.errors import ConfigurationError
from services.training.data.cleaning import clean, language_of
from services.training.data.evasion import evade
from services.training.data.groups import group_of
from services.training.data.labels import LABELS
from services.training.data.near_duplicates import HeldOut, exact_key
from services.training.data.sources import Example, Source, Targets
from services.training.data.surroundings import surround
from services.training.evaluation.functional_tests import read_cases

__all__ = ["Dataset", "Item", "SourceManifest", "load_dataset"]


@dataclass(frozen=True, slots=True)
class Item:
    """One example with the name of its source; `targets` holds NaN where the label is not known, in the order of `LABELS`.

    Items of one `group` belong together in any split: it is the text before an evasion, or the name of its contrast group.
    """

    text: str
    targets: tuple[float, ...]
    source: str
    language: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class SourceManifest:
    """What one data set contributed. `positives` and `negatives` count training targets per label (soft ones by halves)."""

    name: str
    language: str
    licence: str
    trainable: bool
    split: str
    sha256: dict[str, str]
    train: int  # distinct texts
    repeat: int  # times each is in one epoch
    train_available: int
    valid: int
    test: int
    dropped_duplicates: int
    dropped_near_held_out: int
    positives: dict[str, int]
    negatives: dict[str, int]


@dataclass(frozen=True, slots=True)
class Dataset:
    """The three splits and the manifest."""

    train: list[Item]
    valid: list[Item]
    test: list[Item]
    manifest: list[SourceManifest]

    def valid_to_learn_from(self) -> list[Item]:
        """The validation texts that may shape weights (a calibration does): those of trainable sets."""
        barred = {entry.name for entry in self.manifest if not entry.trainable}
        return [item for item in self.valid if item.source not in barred]

    def manifest_json(self) -> list[dict[str, object]]:
        """The manifest, ready for JSON."""
        return [asdict(entry) for entry in self.manifest]


@dataclass(slots=True)
class _Loaded:
    source: Source
    folder: Path
    splits: dict[str, list[Example]] = field(default_factory=lambda: {"train": [], "valid": [], "test": []})
    duplicates: int = 0
    near: int = 0


def load_dataset(
    sources: Sequence[tuple[Source, Path]],
    *,
    seed: int = 1,
    max_texts: int | None = None,
    evasion_share: float = 0.2,
    surround_share: float = 0.0,
) -> Dataset:
    """Read every (source, folder); shares of the training texts are shown with an evasion and among harmless ones.

    Raises:
        ConfigurationError: a data set is missing; the message names the folder and file.
    """
    loaded = [_read(source, folder) for source, folder in sources]
    held_out = HeldOut(
        [e.text for one in loaded for split in ("valid", "test") for e in one.splits[split]]
        + [case.text for case in read_cases()]  # functional tests are nobody's to learn
    )
    tests = {exact_key(e.text) for one in loaded for e in one.splits["test"]}
    for one in loaded:
        _drop_leaks(one, held_out, tests)
    trainable = [one for one in loaded if one.source.trainable]
    total = sum(min(one.source.cap, len(one.splits["train"])) * one.source.repeat for one in trainable)
    scale = 1.0 if max_texts is None else min(1.0, max_texts / max(1, total))
    train: list[Item] = []
    manifest: list[SourceManifest] = []
    for one in loaded:
        randomness = random.Random(f"{seed}/{one.source.name}")
        chosen = _take(one.splits["train"], one.source.cap, randomness) if one.source.trainable else []
        if scale < 1.0 and chosen:
            chosen = randomness.sample(chosen, max(1, round(len(chosen) * scale)))
        for copy in range(one.source.repeat):
            share = evasion_share if copy == 0 else max(evasion_share, 0.3)
            train += [_item(_evaded(e, one.source, share, randomness), one.source, group_of(e)) for e in chosen]
        manifest.append(_manifest(one, chosen))
    train = surround(train, surround_share, random.Random(f"{seed}/surroundings"))
    random.Random(seed).shuffle(train)
    valid, test = (
        [_item(e, one.source, group_of(e)) for one in loaded for e in one.splits[split]] for split in ("valid", "test")
    )
    return Dataset(train, valid, test, manifest)


def _read(source: Source, folder: Path) -> _Loaded:
    for name in source.files:
        if not (folder / name).is_file():
            raise ConfigurationError(
                f"data set {source.name}: {folder / name} is missing. Put the public sets in one folder, one sub-folder "
                f"each, and name it under data.public of the configuration (the model card lists where each comes from)"
            )
    loaded = _Loaded(source, folder)
    seen: set[str] = set()
    for example in source.read(folder):
        text = example.text if example.split == "test" else clean(example.text)
        if not text.strip():
            continue
        key = exact_key(text)
        # An official test split is scored whole, duplicates included.
        if key in seen and example.split != "test":
            loaded.duplicates += 1
            continue
        seen.add(key)
        loaded.splits[example.split].append(replace(example, text=text))
    return loaded


def _drop_leaks(one: _Loaded, held_out: HeldOut, tests: set[str]) -> None:
    train = one.splits["train"]
    leaks = held_out.contains([e.text for e in train]) if train else []
    one.splits["train"] = [e for e, leak in zip(train, leaks, strict=True) if not leak]
    one.near = sum(leaks)
    one.splits["valid"] = [e for e in one.splits["valid"] if exact_key(e.text) not in tests]


def _take(examples: list[Example], cap: int, randomness: random.Random) -> list[Example]:
    """At most `cap` training texts. Positives of the rarer side stay whole while the more common side is thinned."""
    if len(examples) <= cap:
        return examples
    groups: dict[tuple[tuple[str, float], ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(tuple(sorted(example.targets.items())), []).append(example)
    kept: list[Example] = []
    room = cap
    ordered = sorted(groups.values(), key=len)
    for done, group in enumerate(ordered):
        share = min(len(group), room // (len(ordered) - done))
        kept += randomness.sample(group, share)
        room -= share
    return kept


def _evaded(example: Example, source: Source, share: float, randomness: random.Random) -> Example:
    if randomness.random() >= share:
        return example
    return Example(
        evade(example.text, _language(example, source), randomness), example.targets, example.split, example.language
    )


def _language(example: Example, source: Source) -> str:
    return example.language or source.language or language_of(example.text)


def _item(example: Example, source: Source, group: str) -> Item:
    nan = float("nan")
    targets = tuple(example.targets.get(label, nan) for label in LABELS)
    return Item(example.text, targets, source.name, _language(example, source), group)


def _manifest(one: _Loaded, chosen: Sequence[Example]) -> SourceManifest:
    source = one.source
    return SourceManifest(
        name=source.name,
        language=source.language,
        licence=source.licence,
        trainable=source.trainable,
        split=source.split,
        sha256={name: _sha256(one.folder / name) for name in source.files},
        train=len(chosen),
        repeat=source.repeat,
        train_available=len(one.splits["train"]),
        valid=len(one.splits["valid"]),
        test=len(one.splits["test"]),
        dropped_duplicates=one.duplicates,
        dropped_near_held_out=one.near,
        positives=_count(chosen, lambda value: value >= 0.5),
        negatives=_count(chosen, lambda value: value < 0.5),
    )


def _count(examples: Sequence[Example], wanted: Callable[[float], bool]) -> dict[str, int]:
    def known(targets: Targets, label: str) -> bool:
        value = targets.get(label, math.nan)
        return not math.isnan(value) and wanted(value)

    counts = {label: sum(known(e.targets, label) for e in examples) for label in LABELS}
    return {label: count for label, count in counts.items() if count}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
