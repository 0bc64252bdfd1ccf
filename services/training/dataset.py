"""From data sets on disk to one cleaned, split, balanced list of examples, with a manifest of what went in.

Promises: no text of a validation or test split is trained on (exact match after folding case and white space), the official
test splits stay whole, the result is the same on every machine for the same files and seed. The manifest names each
set's licence, files, sha256 and counts; it never holds a text.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from services.errors import ConfigurationError
from services.training.labels import LABELS
from services.training.sources import SOURCES, Example, Source

__all__ = ["Dataset", "Item", "SourceManifest", "load_dataset"]


@dataclass(frozen=True, slots=True)
class Item:
    """One example with the name of its source; `targets` holds NaN where the label is not known, in the order of `LABELS`."""

    text: str
    targets: tuple[float, ...]
    source: str
    language: str


@dataclass(frozen=True, slots=True)
class SourceManifest:
    """What one data set contributed."""

    name: str
    language: str
    licence: str
    split: str
    sha256: dict[str, str]
    train: int  # distinct texts
    repeat: int  # times each is in one epoch
    train_available: int
    valid: int
    test: int
    dropped_duplicates: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """The three splits and the manifest."""

    train: list[Item]
    valid: list[Item]
    test: list[Item]
    manifest: list[SourceManifest]

    def manifest_json(self) -> list[dict[str, object]]:
        return [asdict(entry) for entry in self.manifest]


_SPACES = re.compile(r"\s+")


def _key(text: str) -> str:
    """Two texts with one key are the same text for the train/test border."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _take(examples: list[Example], source: Source, randomness: random.Random) -> list[Example]:
    """At most `cap` training texts. Positives of the rarer side stay whole while the more common side is thinned."""
    if len(examples) <= source.cap:
        return examples
    groups: dict[tuple[tuple[str, float], ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(tuple(sorted(example.targets.items())), []).append(example)
    kept: list[Example] = []
    room = source.cap
    ordered = sorted(groups.values(), key=len)
    for done, group in enumerate(ordered):
        share = min(len(group), room // (len(ordered) - done))
        kept += randomness.sample(group, share)
        room -= share
    return kept


def load_dataset(folder: Path, *, seed: int = 1, max_texts: int | None = None) -> Dataset:
    """Read every source below `folder`.

    Raises:
        ConfigurationError: a data set is missing; the message names the folder and file.
    """
    loaded: list[tuple[Source, list[Example]]] = []
    for source in SOURCES:
        for name in source.files:
            if not (folder / source.name / name).is_file():
                raise ConfigurationError(
                    f"data set {source.name}: {folder / source.name / name} is missing. Put the data sets in one folder, "
                    f"one sub-folder each, and name it with --data (the model card lists where each comes from)"
                )
        loaded.append((source, [e for e in source.read(folder / source.name) if e.text.strip()]))
    held_out = {"test": set[str](), "valid": set[str]()}
    for _, examples in loaded:
        for example in examples:
            if example.split != "train":
                held_out[example.split].add(_key(example.text))
    splits: dict[str, list[Item]] = {"train": [], "valid": [], "test": []}
    manifest: list[SourceManifest] = []
    scale = 1.0 if max_texts is None else min(1.0, max_texts / sum(source.cap for source in SOURCES))
    for source, examples in loaded:
        seen: set[str] = set()
        clean: dict[str, list[Example]] = {"train": [], "valid": [], "test": []}
        for example in examples:
            key = _key(example.text)
            leaks = example.split == "train" and (key in held_out["test"] or key in held_out["valid"])
            leaks = leaks or (example.split == "valid" and key in held_out["test"])
            # An official test split is scored whole, duplicates included, as everyone else scores it.
            if leaks or (key in seen and example.split != "test"):
                continue
            seen.add(key)
            clean[example.split].append(example)
        available = len(clean["train"])
        randomness = random.Random(f"{seed}/{source.name}")
        train = _take(clean["train"], source, randomness)
        if scale < 1.0:
            train = randomness.sample(train, max(1, round(len(train) * scale)))
        for split, chosen in (("train", train), ("valid", clean["valid"]), ("test", clean["test"])):
            splits[split] += [_item(example, source) for example in chosen] * (source.repeat if split == "train" else 1)
        kept = Counter({split: len(part) for split, part in clean.items()})
        manifest.append(
            SourceManifest(
                name=source.name,
                language=source.language,
                licence=source.licence,
                split=source.split,
                sha256={name: _sha256(folder / source.name / name) for name in source.files},
                train=len(train),
                repeat=source.repeat,
                train_available=available,
                valid=kept["valid"],
                test=kept["test"],
                dropped_duplicates=len(examples) - sum(kept.values()),
            )
        )
    random.Random(seed).shuffle(splits["train"])
    return Dataset(splits["train"], splits["valid"], splits["test"], manifest)


def _item(example: Example, source: Source) -> Item:
    nan = float("nan")
    return Item(example.text, tuple(example.targets.get(label, nan) for label in LABELS), source.name, source.language)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
