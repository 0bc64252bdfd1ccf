"""Long texts cut into windows of tokens, and the characters that belong to each window."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.serving.windows import Span, character_spans, token_windows


@st.composite
def cuts(draw: st.DrawFn) -> tuple[int, int, int]:
    """Tokens, capacity, overlap."""
    capacity = draw(st.integers(1, 150))
    return draw(st.integers(0, 1000)), capacity, draw(st.integers(0, capacity - 1))


@st.composite
def texts(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Offsets of tokens in order, with gaps and tokens that share a character, and the text's length."""
    place, offsets = draw(st.integers(0, 3)), []
    for _ in range(draw(st.integers(1, 200))):
        size = draw(st.integers(0, 4))
        offsets.append((place, place + max(size, 1)))
        place += size + draw(st.integers(0, 2))
    return offsets, offsets[-1][1] + draw(st.integers(0, 5))


@given(cuts())
def test_every_token_is_in_some_window(cut: tuple[int, int, int]) -> None:
    seen = {token for start, end in token_windows(*cut) for token in range(start, end)}
    assert seen == set(range(cut[0]))


@given(cuts())
def test_no_window_is_longer_than_the_capacity_and_of_several_all_are_full(cut: tuple[int, int, int]) -> None:
    tokens, capacity, overlap = cut
    windows = token_windows(tokens, capacity, overlap)
    sizes = {end - start for start, end in windows}
    assert sizes == ({capacity} if len(windows) > 1 else {tokens})
    assert max(sizes) <= capacity


@given(cuts())
def test_neighbours_share_at_least_the_overlap(cut: tuple[int, int, int]) -> None:
    _, _, overlap = cut
    for (_, end), (start, _) in pairwise(token_windows(*cut)):
        assert end - start >= overlap


@given(cuts())
def test_there_is_no_more_than_one_window_too_many(cut: tuple[int, int, int]) -> None:
    tokens, capacity, overlap = cut
    needed = 1 if tokens <= capacity else -(-(tokens - overlap) // (capacity - overlap))
    assert len(token_windows(*cut)) == needed


@given(texts(), st.integers(1, 40))
def test_the_spans_of_the_windows_cover_the_whole_text(text: tuple[list[Span], int], capacity: int) -> None:
    offsets, length = text
    spans = character_spans(token_windows(len(offsets), capacity, capacity // 3), offsets, length)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    # What lies between two windows is white space that no token holds; nothing a token holds is left out.
    seen = {place for start, end in spans for place in range(start, end)}
    assert {place for start, end in offsets for place in range(start, end)} <= seen


@given(texts(), st.integers(1, 40))
def test_no_span_is_empty_or_outside_the_text(text: tuple[list[Span], int], capacity: int) -> None:
    offsets, length = text
    for start, end in character_spans(token_windows(len(offsets), capacity, capacity // 3), offsets, length):
        assert 0 <= start < end <= length


def test_no_tokens_are_one_empty_window() -> None:
    assert token_windows(0, 10, 3) == [(0, 0)]


def test_the_last_window_starts_earlier_rather_than_being_short() -> None:
    assert token_windows(25, 10, 2) == [(0, 10), (8, 18), (15, 25)]


def test_an_overlap_that_leaves_no_way_forward_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap 10"):
        token_windows(25, 10, 10)
