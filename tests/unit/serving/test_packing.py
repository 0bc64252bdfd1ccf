"""Sequences packed into rows of fixed widths."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.packing import Packer

WIDTHS = st.lists(st.integers(1, 200), min_size=1, max_size=6)


@st.composite
def packers_and_lengths(draw: st.DrawFn) -> tuple[Packer, list[int]]:
    packer = Packer(draw(WIDTHS))
    return packer, draw(st.lists(st.integers(1, packer.longest), max_size=60))


@given(packers_and_lengths())
def test_each_sequence_is_in_exactly_one_row(case: tuple[Packer, list[int]]) -> None:
    packer, lengths = case
    counts = Counter(index for row in packer.pack(lengths) for index in row.indexes)
    assert counts == Counter(range(len(lengths)))


@given(packers_and_lengths())
def test_every_row_fits_into_a_graph_that_exists(case: tuple[Packer, list[int]]) -> None:
    packer, lengths = case
    for row in packer.pack(lengths):
        assert row.width in packer.widths
        assert sum(lengths[index] for index in row.indexes) <= row.width


@given(packers_and_lengths())
def test_a_row_takes_the_narrowest_graph_that_holds_it(case: tuple[Packer, list[int]]) -> None:
    packer, lengths = case
    for row in packer.pack(lengths):
        tokens = sum(lengths[index] for index in row.indexes)
        assert [width for width in packer.widths if tokens <= width < row.width] == []


@given(packers_and_lengths())
def test_no_two_rows_could_be_one(case: tuple[Packer, list[int]]) -> None:
    packer, lengths = case
    tokens = sorted(sum(lengths[index] for index in row.indexes) for row in packer.pack(lengths))
    assert len(tokens) < 2 or tokens[0] + tokens[1] > packer.longest


@given(packers_and_lengths())
def test_the_rows_are_at_most_twice_the_fewest_possible(case: tuple[Packer, list[int]]) -> None:
    packer, lengths = case
    fewest = -(-sum(lengths) // packer.longest)
    assert len(packer.pack(lengths)) <= max(2 * fewest, 1 if lengths else 0)


def test_nothing_packs_into_no_rows() -> None:
    assert Packer((16,)).pack([]) == []


def test_a_sequence_longer_than_the_widest_graph_is_refused() -> None:
    with pytest.raises(ValueError, match="17 tokens does not fit"):
        Packer((8, 16)).pack([3, 17])


def test_a_packer_without_widths_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one width"):
        Packer(())
