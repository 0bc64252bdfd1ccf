"""The run of tokens that speaks most for a label."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from services.serving.evidence import deciding_tokens

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
