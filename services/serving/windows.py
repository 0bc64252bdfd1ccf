"""Long texts as overlapping windows of tokens, and which window decides.

A text that fits is one window, whose span is the whole text. A longer one is cut into windows of `capacity` tokens, each
sharing `overlap` tokens with the one before, so that a phrase on a border is seen whole by one of them. Each label takes the
score of its worst window, and that window's span, in code points of the original text, is the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Span", "character_spans", "token_windows"]

Span = tuple[int, int]


def token_windows(tokens: int, capacity: int, overlap: int) -> list[Span]:
    """Token ranges (start, end) that cover `tokens` tokens, in order; one empty range for no tokens.

    The last window is full: it starts earlier rather than holding a few left-over tokens without their context.

    Raises:
        ValueError: the overlap leaves no room to go forward.
    """
    if not 0 <= overlap < capacity:
        raise ValueError(f"overlap {overlap} must be less than the capacity {capacity}")
    if tokens <= capacity:
        return [(0, tokens)]
    starts = list(range(0, tokens - capacity, capacity - overlap))
    starts.append(tokens - capacity)
    return [(start, start + capacity) for start in starts]


def character_spans(windows: Sequence[Span], offsets: Sequence[Span], length: int) -> list[Span]:
    """Code-point spans of token windows. `offsets` are the tokens' spans, `length` the text's length.

    The first window begins with the text and the last ends with it, so that what the tokenizer dropped (white space,
    invisible characters) belongs to some window, and the spans together cover the whole text. Where a normaliser makes
    several tokens of one character their offsets may coincide; a span is still never empty for a text that is not empty.
    """
    spans: list[Span] = []
    for position, (start, end) in enumerate(windows):
        first = 0 if position == 0 else offsets[start][0]
        last = length if position == len(windows) - 1 else max(offsets[end - 1][1], first + 1)
        spans.append((first, min(last, length)))
    return spans
