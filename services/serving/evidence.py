"""Which part of a text moved a score: parts of it scored alone.

Promises, for a flagged label, the contiguous run of tokens whose parts speak most for it when the model reads them alone: parts of
about a quarter of the text, which end with a clause where one ends there, are scored; a token is worth the logit of its part, and the
run is the maximum-sum subarray (Kadane) of those worths less their mean and a share of their spread. That costs about one more run of
the flagged text, and nothing for the others. Does not promise the cause: what is bad only as a whole has no bad part. How faithful the
spans are beside occlusion is measured in the model card. (The tokens' own shares of the logit, which cost nothing, are a worse
witness: after the last layer each token knows what the whole text is, and the shares of a certain text are all alike.)
A tokenizer cuts words into pieces, so a span may begin or end inside a word; people read it widened to whole words. Words of scripts
that put no blanks between them are left as they are. Pure: arrays and texts in, positions out.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CLOSING", "deciding_tokens", "ends_clause", "parts_of", "whole_words", "worth_of_tokens"]

#: A part is about this share of the text, and so many tokens at least and at most: a phrase, whatever the length of the text.
_PARTS = 4
_SHORTEST_PART, _LONGEST_PART = 3, 12
#: Fewer tokens than this at the end of a text belong to the part before.
_SHORTEST_REST = 2
#: What belongs to the words before it: parts end with one, and no span begins with one.
CLOSING = ".,;:!?)，。；：！？、）”…"
#: What stands for a blank in a piece of a SentencePiece vocabulary.
_BLANK = "\u2581"
#: Of the standard deviation above the mean that a token must reach to extend a span: keeps spans to phrases.
_TIGHTNESS = 0.25
#: Han, kana, Hangul and what else lies there begins here: no blanks between words, or pieces that are words.
_EAST_ASIAN = 0x2E80
#: Code points; what is longer without a blank is no word.
_LONGEST_WORD = 32


def ends_clause(piece: str) -> bool:
    """Whether this piece of the vocabulary is punctuation that closes a clause, and nothing else."""
    characters = piece.lstrip(_BLANK)
    return bool(characters) and all(character in CLOSING for character in characters)


def parts_of(ends: Sequence[bool]) -> list[tuple[int, int]]:
    """Token ranges (start, end) that cut a text into the parts to score alone. `ends` says of each token whether it ends a clause.

    Parts end with the last clause that ends inside them or one token later, and at a fixed size where none does. A text that is
    no longer than one part has no parts.
    """
    tokens = len(ends)
    size = min(max(-(-tokens // _PARTS), _SHORTEST_PART), _LONGEST_PART)
    if tokens <= size:
        return []
    parts: list[tuple[int, int]] = []
    start = 0
    while start < tokens:
        end = min(start + size, tokens)
        for candidate in range(min(end + 1, tokens - _SHORTEST_REST), start + _SHORTEST_PART - 1, -1):
            if ends[candidate - 1]:
                end = candidate
                break
        if tokens - end < _SHORTEST_REST:
            end = tokens
        parts.append((start, end))
        start = end
    return parts if len(parts) > 1 else []


def worth_of_tokens(parts: Sequence[tuple[int, int]], logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logit of a token's part, (tokens, L), from the `logits` (parts, L) of `parts_of`'s."""
    worth: NDArray[np.float32] = np.repeat(logits, [end - start for start, end in parts], axis=0)
    return worth


def deciding_tokens(worth: NDArray[np.float32]) -> tuple[int, int]:
    """Start and end (exclusive) of the run of tokens that speaks most for the label; the whole text when all say the same.

    `worth` has one number per token, special tokens left out.
    """
    if len(worth) == 0:
        return (0, 0)
    gains = worth - (worth.mean() + _TIGHTNESS * worth.std())
    if not (gains > 0).any():
        return (0, len(worth))
    best, best_span, total, start = -np.inf, (0, len(worth)), 0.0, 0
    for position, gain in enumerate(gains.tolist()):
        if total <= 0:
            total, start = 0.0, position
        total += gain
        if total > best:
            best, best_span = total, (start, position + 1)
    return best_span


def whole_words(text: str, begin: int, end: int) -> tuple[int, int]:
    """The span widened to the borders of the words that it begins and ends in, in code points.

    A border that would move by more than 32 code points stays where it is.
    """
    first, last = begin, end
    while (
        begin - first <= _LONGEST_WORD
        and begin < end
        and first > 0
        and _of_a_word(text[first])
        and _of_a_word(text[first - 1])
    ):
        first -= 1
    while (
        last - end <= _LONGEST_WORD
        and begin < end
        and last < len(text)
        and _of_a_word(text[last - 1])
        and _of_a_word(text[last])
    ):
        last += 1
    return (first if begin - first <= _LONGEST_WORD else begin, last if last - end <= _LONGEST_WORD else end)


def _of_a_word(character: str) -> bool:
    if ord(character) >= _EAST_ASIAN:
        return False
    # Marks and invisible characters stand inside words: accents, and what evasion puts there.
    return character.isalnum() or unicodedata.category(character) in {"Mn", "Mc", "Cf"}
