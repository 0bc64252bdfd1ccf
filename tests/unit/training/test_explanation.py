"""What `tidegate explain` shows of a scored text."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from services.errors import ConfigurationError, DeadLetterReason, PermanentError
from services.inference import Answer, Tensor
from services.review.policy import Policy, PolicyFile
from services.training.explanation import Scored, parts_of, score_by_triton, show

_POLICY = Policy(
    PolicyFile.model_validate({"id": "test", "labels": {"hate": {"flag": 0.5, "block": 0.9}, "spam": {"flag": 0.5}}})
)
_TEXT = "good words bad words more"
_BAD = Scored(("hate", "spam"), (0.95, 0.1), ((11, 14), (0, 0)), "toy, version 3")


def shown(text: str, scored: Scored, *, terminal: bool = False) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, color_system="truecolor" if terminal else None, width=200
    )
    show(text, scored, _POLICY, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_in_a_pipe_the_deciding_words_stand_in_brackets() -> None:
    assert "hate: good words [bad] words more\n" in shown(_TEXT, _BAD)


def test_in_a_terminal_they_are_coloured_and_the_text_stays_as_it_is() -> None:
    said = shown(_TEXT, _BAD, terminal=True)
    assert "\x1b[1;7mbad\x1b[0m" in said
    assert "[bad]" not in said


def test_the_action_the_policy_and_the_model_come_first() -> None:
    assert shown(_TEXT, _BAD).startswith(f"block, severity high  policy test {_POLICY.version}; model toy, version 3\n")


def test_labels_are_bars_with_the_highest_first_and_the_action_of_each() -> None:
    lines = shown(_TEXT, _BAD).splitlines()
    assert lines[1] == f"  hate {'█' * 23}░ 0.950 block"
    assert lines[2] == f"  spam {'█' * 2}{'░' * 22} 0.100"


def test_a_harmless_text_says_that_no_threshold_was_reached() -> None:
    scored = Scored(("hate",), (0.2,), ((0, 4),), "toy")
    assert shown("fine", scored).endswith("no label reaches a threshold of the policy\n")


def test_each_flagged_label_shows_its_own_words_worst_first() -> None:
    scored = Scored(("spam", "hate"), (0.6, 0.95), ((0, 4), (11, 14)), "toy")
    assert shown(_TEXT, scored).splitlines()[-2:] == [
        "hate: good words [bad] words more",
        "spam: [good] words bad words more",
    ]


def test_what_a_terminal_would_obey_is_shown_and_not_sent() -> None:
    text = "x \x1b[2J \u202e bad"
    said = shown(text, Scored(("hate",), (0.95,), ((0, len(text)),), "toy"))
    assert "hate: [x \\x1b[2J \\u202e bad]\n" in said


def test_rich_markup_in_a_text_is_text() -> None:
    text = "[red]x[/red] [bold"
    assert f"hate: [{text}]\n" in shown(text, Scored(("hate",), (0.95,), ((0, len(text)),), "toy"))


def test_a_long_text_is_shown_around_the_words() -> None:
    text = "a" * 1000 + "bad" + "b" * 1000
    said = shown(text, Scored(("hate",), (0.95,), ((1000, 1003),), "toy")).splitlines()[-1]
    assert said == f"hate: …{'a' * 200}[bad]{'b' * 200}…"


@given(st.text(max_size=600), st.integers(-5, 650), st.integers(-5, 650))
def test_the_parts_are_the_text_in_order_whatever_the_span(text: str, start: int, end: int) -> None:
    parts = list(parts_of(text, (start, end), around=10_000))
    assert "".join(part for part, _ in parts) == text
    assert "".join(part for part, inside in parts if inside) == (text[max(0, start) : end] if start < end else "")


@dataclass
class FakeInference:
    """Answers or fails as told."""

    scores: list[float] = field(default_factory=list)
    error: Exception | None = None

    def infer(self, model: str, inputs: Mapping[str, Tensor], outputs: Sequence[str]) -> Answer:
        if self.error is not None:
            raise self.error
        spans = np.zeros((1, len(self.scores), 2), np.int32)
        return Answer({"SCORES": np.array([self.scores], np.float32), "SPANS": spans}, "4")

    def parameters(self, model: str) -> Mapping[str, str]:
        return {"labels": "hate, spam"}

    def probe(self, model: str) -> None: ...

    def ready(self, models: Sequence[str]) -> str | None: ...


def test_scores_of_triton_are_rounded_as_the_pipeline_rounds_them() -> None:
    scored = score_by_triton(FakeInference([0.123456, 0.5]), "review", "text")
    assert scored == Scored(("hate", "spam"), (0.1235, 0.5), ((0, 0), (0, 0)), "review, version 4, by Triton")


def test_a_model_whose_labels_and_scores_differ_in_number_is_an_error() -> None:
    with pytest.raises(ConfigurationError, match="names 2 labels and scores 3"):
        score_by_triton(FakeInference([0.1, 0.2, 0.3]), "review", "text")


def test_a_text_that_the_model_refuses_is_an_error_and_no_traceback() -> None:
    fake = FakeInference(error=PermanentError(DeadLetterReason.MODEL_ERROR, "no"))
    with pytest.raises(ConfigurationError, match="fails on this text"):
        score_by_triton(fake, "review", "text")
