"""Finding the items that make a batch fail, by halving."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ConfigurationError, DeadLetterReason, PermanentError, TransientError
from services.inference import run_bisecting


class Model:
    """Doubles numbers; fails for a batch that holds a bad one."""

    def __init__(self, bad: set[int]) -> None:
        self._bad = bad
        self.calls = 0

    def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.calls += 1
        if self._bad & set(items):
            raise PermanentError(DeadLetterReason.MODEL_ERROR, f"{len(items)} items")
        return [2 * item for item in items]


@given(st.integers(0, 100), st.data())
def test_every_item_is_computed_or_named_as_a_cause_in_order(count: int, data: st.DataObject) -> None:
    bad = data.draw(st.sets(st.integers(0, max(0, count - 1)))) if count else set()
    found = run_bisecting(Model(bad), range(count))
    assert [None if isinstance(r, PermanentError) else r for r in found] == [
        None if n in bad else 2 * n for n in range(count)
    ]


@given(st.integers(1, 500), st.data())
def test_one_bad_item_costs_few_calls(count: int, data: st.DataObject) -> None:
    model = Model({data.draw(st.integers(0, count - 1))})
    run_bisecting(model, range(count))
    assert model.calls <= 2 * math.ceil(math.log2(count)) + 1


def test_a_good_batch_costs_one_call() -> None:
    model = Model(set())
    run_bisecting(model, range(64))
    assert model.calls == 1


def test_an_empty_batch_costs_none() -> None:
    model = Model(set())
    assert run_bisecting(model, []) == []
    assert model.calls == 0


def test_the_error_is_that_of_the_item_alone() -> None:
    error = run_bisecting(Model({3}), range(8))[3]
    assert isinstance(error, PermanentError)
    assert str(error) == "1 items"


@pytest.mark.parametrize("error", [TransientError("away"), ConfigurationError("no model")])
def test_an_outage_is_nobodys_fault_and_passes_through(error: Exception) -> None:
    calls = 0

    def call(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        raise error

    with pytest.raises(type(error)):
        run_bisecting(call, range(64))
    assert calls == 1
