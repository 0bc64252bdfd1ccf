"""Sentence templates that name an identity ("being X is great", "支持X"), by Dixon et al. (2018), in English and Chinese.

They serve twice: some teach that a name is no insult, the others measure whether it was learned. Promises: a sentence is held out
when its term is (by a hash of the term) *and* its template is; sentences that share only one of the two with the held-out ones
are neither trained on nor measured on, so no template teaches a measured sentence, its wording or its term. Other data sets do speak
of the same groups. Names of persons and occupations are no identities and are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.training.data.folds import fold_of

__all__ = ["FILES", "FOLDER", "Sentence", "read"]

FOLDER = "multi_bias_templates"
FILES = {"en": "en_sentence_templates.csv", "zh": "zh-cn_sentence_templates.csv"}
_TRAINED = {
    "en": ("you_are_adj", "verb_adj"),
    "zh": ("you_are_identity_p", "verb_adj", "verb_identity", "hate_identity"),
}
_MEASURED = {"en": ("am_hate_adj", "being_adj"), "zh": ("am_identity", "being_identity")}
#: The template that says nothing but "I am X", which yields the terms.
_NAMING = {"en": "am_hate_adj", "zh": "am_identity"}
_OPENING = {"en": re.compile(r"^I am "), "zh": re.compile(r"^我是(?:一[名位个])?")}


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence and the identity it names; `held_out` ones are for measuring, the others for training."""

    text: str
    term: str
    toxic: bool
    held_out: bool


def read(folder: Path, language: str) -> Iterator[Sentence]:
    """Every sentence of a language that is for training or for measuring, in the order of the file.

    Raises:
        OSError: the file is not there.
    """
    with (folder / FILES[language]).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    terms = {
        _OPENING[language].sub("", row["phrase"])
        for row in rows
        if row["template"] == _NAMING[language] and row["toxicity"] == "nontoxic"
    }
    for row in rows:
        measured = row["template"] in _MEASURED[language]
        if not measured and row["template"] not in _TRAINED[language]:
            continue
        term = _term(row["phrase"], terms, language)
        if term is not None and measured == (fold_of(term) != "train"):
            yield Sentence(row["phrase"], term, row["toxicity"] == "toxic", measured)


def _term(phrase: str, terms: set[str], language: str) -> str | None:
    """The longest term in the phrase; in English as whole words."""
    if language == "en":
        words = phrase.lower().split()
        runs = {" ".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1)}
        inside = {term for term in terms if term.lower() in runs}
    else:
        inside = {term for term in terms if term in phrase}
    return max(inside, key=lambda term: (len(term), term)) if inside else None
