"""The figures of a model card are those of the evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.training.evaluation.card import data_table, figures, update_card
from services.training.evaluation.record import Findings
from tests.training.evaluation.test_report import evaluation_of, made_findings

MANIFEST = [
    {"name": name, "language": "en", "licence": "MIT", "trainable": trainable, "train": 1000, "repeat": 2, "valid": 10, "test": 20,
     "dropped_near_held_out": 3}
    for name, trainable in (("own_hate.en", True), ("own_spam.en", True), ("some_set", True), ("secret", False))
]  # fmt: skip
CARD = "# Card\n<!-- data: begin -->\nold\n<!-- data: end -->\nby hand\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nend\n"


def test_every_part_of_the_evaluation_is_in_the_card() -> None:
    text = figures(evaluation_of(made_findings()).document())
    for expected in (
        "| toy macro_f1 | 0.9 | ≥ 0.95 |", "| toy | macro_f1 | 0.900 (0.850 to 0.950) | 0.400 | not computed | .88 Somebody 2020 |",
        "hate (own) | en", "negation (en) 1 of 4", "spread over 2 terms 0.100", "full_width", "safe prompts 0.900", "set (spam, zh)",
        "decisions flipped 0.0070 (0.0040 to 0.0100)", "random not computed",
    ):  # fmt: skip
        assert expected in text


def test_the_card_does_not_say_that_a_term_was_never_seen() -> None:
    text = figures(evaluation_of(made_findings()).document())
    assert "these sentences and templates were never trained on; other texts with the terms were" in text
    assert "terms and templates never" not in text


def test_an_evaluation_that_found_nothing_says_nothing() -> None:
    assert figures(evaluation_of(Findings()).document()) == "0 of the project's 0 targets are met."


def test_own_examples_are_one_row_and_what_was_not_trained_on_is_none() -> None:
    rows = data_table(MANIFEST).splitlines()
    assert rows[2:] == [
        "| some_set | en | MIT | 1,000 × 2 | 10 | 20 | 3 |",
        "| own examples (2 files) | zh, en | MIT | 2,000 × 2 | 20 | 40 | 6 |",
    ]


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    card = tmp_path / "CARD.md"
    card.write_text(CARD, encoding="utf-8")
    document = evaluation_of(made_findings()).document()
    update_card(card, document, MANIFEST)
    update_card(card, document, MANIFEST)
    text = card.read_text(encoding="utf-8")
    assert text.startswith("# Card\n")
    assert text.endswith("\nend\n")
    assert "\nby hand\n" in text
    assert text.count("some_set") == 1
    assert "old" not in text


@pytest.mark.parametrize("content", ["nothing here\n", None])
def test_a_card_without_its_markers_is_an_error_and_stays_as_it_is(tmp_path: Path, content: str | None) -> None:
    card = tmp_path / "CARD.md"
    if content is not None:
        card.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="model card"):
        update_card(card, evaluation_of(Findings()).document(), MANIFEST)
    assert (card.read_text(encoding="utf-8") if card.exists() else None) == content
