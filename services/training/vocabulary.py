"""Prune a SentencePiece-style Unigram vocabulary to what Chinese and English text uses.

`multilingual-e5-small` spends 96 of its 118 million parameters on a 250,002-piece vocabulary for about 100 languages.
`prune_tokenizer` keeps the special pieces, every single character of the wide-spread scripts, every piece without a letter (digits,
punctuation, emoji), every piece of Han characters, and those Latin pieces that the tokenizer really uses on common English words
and on the training texts. A kept piece keeps its score and its row of the embedding table.

Promise: a text whose pieces are all kept is cut into the same pieces and so gets the same output: the best path of a Unigram
model stays the best when only other pieces disappear. Text in other scripts still tokenises, character by
character, or as the unknown piece. Training starts from the pruned model, so training and serving always share one tokenizer.
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer

__all__ = ["PIECES_LIMIT", "choose_pieces", "english_words", "prune_tokenizer"]

#: Of the whole vocabulary. 57,000 rows of 384 int8 values are 22 MB; the rest of the model is 21 MB.
PIECES_LIMIT = 57_000

_SPACE = "\u2581"  # what SentencePiece writes for a word boundary

#: Alphabets (first word of a Unicode name) whose single letters are kept: look-alikes and decoration in zh/en posts.
_LETTERS_KEPT = {"LATIN", "CYRILLIC", "GREEK", "KATAKANA", "HIRAGANA", "FULLWIDTH", "HALFWIDTH", "BOPOMOFO", "MODIFIER"}


def _script(character: str) -> str:
    """`han`, `letter` for any other alphabet, or `other` (digits, punctuation, symbols, marks of no alphabet)."""
    point = ord(character)
    if (
        0x3400 <= point <= 0x4DBF
        or 0x4E00 <= point <= 0x9FFF
        or 0xF900 <= point <= 0xFAFF
        or 0x20000 <= point < 0x32000
    ):
        return "han"
    if character.isascii():
        return "letter" if character.isalpha() else "other"
    return "other" if unicodedata.category(character)[0] in "PSNZC" else "letter"


def _always_kept(piece: str) -> bool:
    body = piece.lstrip(_SPACE)
    if len(body) == 1 and _script(body) == "letter":
        return unicodedata.name(body, "?").split()[0] in _LETTERS_KEPT
    return "letter" not in {_script(character) for character in body}


def english_words(limit: int = 120_000) -> Iterator[tuple[str, float]]:
    """Common English words with their frequency, in the spellings that posts use: as is, capitalised, upper case."""
    from wordfreq import iter_wordlist, word_frequency

    for rank, word in enumerate(iter_wordlist("en", wordlist="best")):
        if rank >= limit:
            return
        frequency = word_frequency(word, "en")
        yield word, frequency
        yield word.capitalize(), frequency / 10
        yield word.upper(), frequency / 50


def choose_pieces(tokenizer: Tokenizer, words: Iterable[tuple[str, float]], limit: int = PIECES_LIMIT) -> list[int]:
    """The ids to keep, ascending. `words` are (text, weight) pairs; of their Latin pieces the heaviest are kept."""
    vocabulary: list[tuple[str, float]] = json.loads(tokenizer.to_str())["model"]["vocab"]
    specials = set(tokenizer.get_added_tokens_decoder())
    kept = (
        {i for i, (piece, _) in enumerate(vocabulary) if i in specials or _always_kept(piece)} | specials | {0, 1, 2, 3}
    )
    weights: Counter[int] = Counter()
    batch = list(words)
    for encoding, (_, weight) in zip(
        tokenizer.encode_batch([text for text, _ in batch], add_special_tokens=False), batch, strict=True
    ):
        for identifier in encoding.ids:
            weights[identifier] += weight  # type: ignore[assignment]  # weights of words are fractions
    # Every ASCII piece that a word used, heaviest first; ties by id, so that the choice is the same on every machine.
    ranked = sorted((i for i in weights if i not in kept), key=lambda i: (-weights[i], i))
    return sorted(kept | set(ranked[: max(0, limit - len(kept))]))


def prune_tokenizer(source: Path, target: Path, kept: list[int]) -> None:
    """Write the tokenizer of the kept pieces; piece number `kept[i]` becomes number `i`."""
    state = json.loads(source.read_text(encoding="utf-8"))
    new_id = {old: new for new, old in enumerate(kept)}
    vocabulary = state["model"]["vocab"]
    state["model"]["vocab"] = [vocabulary[old] for old in kept]
    state["model"]["unk_id"] = new_id[state["model"]["unk_id"]]
    for token in state["added_tokens"]:
        token["id"] = new_id[token["id"]]
    for token in state["post_processor"].get("special_tokens", {}).values():
        token["ids"] = [new_id[old] for old in token["ids"]]
    target.write_text(json.dumps(state, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    Tokenizer.from_file(str(target))  # fails here, not in production
