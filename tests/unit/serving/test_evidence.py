"""The run of tokens that speaks most for a label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from services.serving.evidence import deciding_tokens, ends_clause, parts_of, whole_words, worth_of_tokens

#: Contributions on a grid: sums of arbitrary floats would differ between two orders of adding.
contributions = arrays(np.int16, st.integers(1, 40), elements=st.integers(-400, 400)).map(
    lambda values: (values / 64).astype(np.float32)
)


def gains_of(values: NDArray[np.float32]) -> NDArray[np.float64]:
    limit = np.float64(values.mean() + 0.25 * values.std())
    return np.asarray(values, np.float64) - limit


@given(contributions)
def test_no_run_of_tokens_has_a_larger_sum(values: NDArray[np.float32]) -> None:
    start, end = deciding_tokens(values)
    gains = gains_of(values)
    if not (gains > 0).any():
        assert (start, end) == (0, len(values))
        return
    best = max(gains[i:j].sum() for i in range(len(gains)) for j in range(i + 1, len(gains) + 1))
    assert gains[start:end].sum() == pytest.approx(best, abs=1e-3)


@given(contributions)
def test_the_run_lies_inside_the_text_and_is_not_empty(values: NDArray[np.float32]) -> None:
    start, end = deciding_tokens(values)
    assert 0 <= start < end <= len(values)


@given(st.integers(1, 30), st.floats(-5, 5, width=16))
def test_tokens_that_all_say_the_same_give_the_whole_text(count: int, value: float) -> None:
    assert deciding_tokens(np.full(count, value, np.float32)) == (0, count)


def test_no_tokens_give_an_empty_run() -> None:
    assert deciding_tokens(np.zeros(0, np.float32)) == (0, 0)


def test_one_loud_phrase_in_a_calm_text_is_found() -> None:
    values = np.array([0.1, 0.0, 0.1, 4.0, 3.0, 0.1, 0.0, 0.1, 0.0, 0.1], np.float32)
    assert deciding_tokens(values) == (3, 5)


def test_a_word_between_two_loud_ones_belongs_to_the_phrase() -> None:
    values = np.array([-1.0, 5.0, 0.9, 5.0, -1.0, -1.0, -1.0], np.float32)
    assert deciding_tokens(values) == (1, 4)


@pytest.mark.parametrize(
    ("text", "part", "whole"),
    [
        ("Ignore all rules, now", "gnore all ru", "Ignore all rules"),
        ("Ignore all rules", "Ignore all", "Ignore all"),
        ("you st\u200bupid l0ser", "upid l0", "st\u200bupid l0ser"),
        ("un caf\u00e9 cafe\u0301 noir", "afe\u0301", "cafe\u0301"),
        ("加薇信abc123领红包", "c12", "abc123"),
        ("你这个废物，滚", "废", "废"),
        ("去buy吧", "去", "去"),
        ("so, what?", ", ", ", "),
    ],
)
def test_a_span_is_widened_to_the_words_that_it_cuts(text: str, part: str, whole: str) -> None:
    begin = text.index(part)
    first, last = whole_words(text, begin, begin + len(part))
    assert text[first:last] == whole


def test_what_is_too_long_for_a_word_stays_cut() -> None:
    assert whole_words("so " + "a" * 100 + " so", 5, 7) == (3, 7)


@given(st.text(max_size=60), st.data())
def test_a_widened_span_contains_the_span_and_is_widened_once(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(begin, len(text)))
    first, last = whole_words(text, begin, end)
    assert 0 <= first <= begin <= end <= last <= len(text)
    if end == begin:
        assert (first, last) == (begin, end)
    assert whole_words(text, first, last) == (first, last)


@given(st.lists(st.booleans(), max_size=600))
def test_parts_cut_a_text_into_phrases(ends: list[bool]) -> None:
    parts, tokens = parts_of(ends), len(ends)
    if tokens <= 4:
        assert parts == []
        return
    assert [i for start, end in parts for i in range(start, end)] == list(range(tokens))
    size = min(max(-(-tokens // 4), 3), 12)
    assert {end - start for start, end in parts[:-1]} <= set(range(3, size + 2))
    assert 2 <= parts[-1][1] - parts[-1][0] <= size + 2


def test_parts_end_with_a_clause_that_ends_in_them_or_one_token_later() -> None:
    text = ["The", "service", "was", "slow", "but", "friendly", ".", "Women", "belong", "in", "the", "kitchen"]
    ends = [word == "." for word in text]
    assert [text[start:end] for start, end in parts_of(ends)] == [
        ["The", "service", "was"],
        ["slow", "but", "friendly", "."],
        ["Women", "belong", "in"],
        ["the", "kitchen"],
    ]
    assert parts_of([False] * 12) == [(0, 3), (3, 6), (6, 9), (9, 12)]


@pytest.mark.parametrize(
    ("piece", "ends"),
    [
        ("。", True),
        ("\u2581!!", True),
        ("...", True),
        (",", True),
        ("\u2581", False),
        ("\u2581a.", False),
        ("-", False),
        ("的", False),
    ],
)
def test_a_piece_of_closing_punctuation_ends_a_clause(piece: str, ends: bool) -> None:  # noqa: FBT001
    assert ends_clause(piece) is ends


def test_a_token_is_worth_what_its_part_is() -> None:
    logits = np.array([[1.0, 0.0], [3.0, 6.0]], np.float32)
    worth = worth_of_tokens([(0, 3), (3, 5)], logits)
    assert worth[:, 0].tolist() == [1.0, 1.0, 1.0, 3.0, 3.0]
    assert worth[:, 1].tolist() == [0.0, 0.0, 0.0, 6.0, 6.0]
