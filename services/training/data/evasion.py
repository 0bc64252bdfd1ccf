"""How people write around a filter, as functions: for augmentation in training and for the robustness tests.

Each `Evasion` changes some words or characters of a text and keeps what a person reads. Promises: a pure function of (text,
random generator); never empties a text; a text that it cannot change comes back as it was. Homophones come from `pypinyin`,
traditional characters from OpenCC; the other tables are short and hand-written, because they are what people type.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from services.training.data.pictures import PICTURES_EN, PICTURES_ZH

__all__ = ["EVASIONS", "Evasion", "evade"]

_LEET = {"a": "@4", "e": "3", "i": "1!", "o": "0", "s": "$5", "t": "7", "l": "1", "u": "v", "b": "8", "g": "9"}
_CONFUSABLE = dict(zip("aeopcyxiksjbhmt", "аеорсухіkѕјЬһмт", strict=True))
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_MARKS = " .-_*·'`~/"
#: Characters of a text that is repeated.
_FLOOD = 450
_EMOJI = "😂😡🔥👍💀🙏😭✨❤👊🤡💩🐷🍵"
#: Split characters (拆字): what a reader puts together again.
_SPLIT = {
    "好": "女子", "妈": "女马", "骂": "口口马", "找": "扌戈", "打": "扌丁", "杀": "乂木", "死": "歹匕", "炸": "火乍", "赌": "贝者",
    "钱": "钅戋", "约": "纟勺", "骚": "马蚤", "裸": "衣果", "狗": "犭句", "猪": "犭者", "强": "弓虽", "割": "害刂", "信": "亻言",
    "群": "君羊", "加": "力口", "贷": "代贝", "枪": "木仓", "毒": "龶母", "滚": "氵衮", "脑": "月囟", "残": "歹戋", "奴": "女又",
    "婊": "女表", "蠢": "春虫虫", "傻": "亻夋", "妓": "女支", "嫖": "女票", "娘": "女良", "操": "扌喿", "畜": "玄田", "贱": "贝戋",
}  # fmt: skip

Change = Callable[[str, random.Random], str]


@dataclass(frozen=True, slots=True)
class Evasion:
    """One way to write around a filter. `languages` are those it makes sense in."""

    name: str
    languages: tuple[str, ...]
    change: Change


def evade(text: str, language: str, randomness: random.Random) -> str:
    """The text with one random evasion that fits its language."""
    fitting = [evasion for evasion in EVASIONS if language in evasion.languages]
    return randomness.choice(fitting).change(text, randomness) if fitting else text


def _some_words(text: str, randomness: random.Random, change: Callable[[str], str], share: float = 0.3) -> str:
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 3 and word.isascii() and any(c.isalpha() for c in word)]
    if not long:
        return text
    for i in randomness.sample(long, max(1, round(len(long) * share))):
        words[i] = change(words[i])
    return " ".join(words)


def _some_han(text: str, randomness: random.Random, change: Callable[[str], str], share: float = 0.3) -> str:
    places = [i for i, c in enumerate(text) if "\u4e00" <= c <= "\u9fff" and change(c) != c]
    if not places:
        return text
    characters = list(text)
    for i in randomness.sample(places, max(1, round(len(places) * share))):
        characters[i] = change(characters[i])
    return "".join(characters)


def _leet(text: str, randomness: random.Random) -> str:
    def change(word: str) -> str:
        return "".join(
            randomness.choice(_LEET[c.lower()]) if c.lower() in _LEET and randomness.random() < 0.6 else c for c in word
        )

    return _some_words(text, randomness, change)


def _leet_everywhere(text: str, randomness: random.Random) -> str:
    return "".join(randomness.choice(_LEET[c.lower()]) if c.lower() in _LEET else c for c in text)


def _confusable(text: str, randomness: random.Random) -> str:
    return _some_words(
        text, randomness, lambda w: "".join(_CONFUSABLE.get(c, c) if randomness.random() < 0.7 else c for c in w)
    )


def _wide(text: str, randomness: random.Random) -> str:
    def wide(word: str) -> str:
        return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in word)

    return _some_words(text, randomness, wide)


def _repeat(text: str, randomness: random.Random) -> str:
    def change(word: str) -> str:
        place = randomness.randrange(len(word))
        return word[:place] + word[place] * randomness.randint(2, 4) + word[place:]

    return _some_words(text, randomness, change)


def _spaced(text: str, randomness: random.Random) -> str:
    mark = randomness.choice(_MARKS)
    return _some_words(text, randomness, mark.join, 0.25)


def _spaced_everywhere(text: str, randomness: random.Random) -> str:
    """A mark between all letters and something wider between words: y o u  a r e."""
    mark = randomness.choice(" .-_*")
    return ("  " if mark == " " else " ").join(mark.join(word) for word in text.split(" "))


def _again(text: str, randomness: random.Random) -> str:
    """The whole text many times over, as people flood a chat; at most `_FLOOD` characters, for that is where training cuts."""
    mark = randomness.choice(("", " ", "，", "\n", "!") if not text.isascii() else (" ", "  ", "\n", "! ", ", "))
    most = _FLOOD // (len(text) + len(mark)) if text.isascii() else _FLOOD // 3 // (len(text) + len(mark))
    return mark.join([text] * randomness.randint(2, most)) if most >= 2 else text


def _spaced_han(text: str, randomness: random.Random) -> str:
    han = [i for i in range(len(text) - 1) if _is_han(text[i]) and _is_han(text[i + 1])]
    if not han:
        return text
    mark = randomness.choice(" .*·-_~丶、")
    start = randomness.choice(han)
    end = min(len(text), start + randomness.randint(2, 8))
    return text[:start] + mark.join(text[start:end]) + text[end:]


def _invisible(text: str, randomness: random.Random) -> str:
    characters = list(text)
    for _ in range(max(1, len(characters) // 10)):
        characters.insert(randomness.randint(1, len(characters)), randomness.choice(_INVISIBLE))
    return "".join(characters)


def _emoji(text: str, randomness: random.Random) -> str:
    characters = list(text)
    for _ in range(randomness.randint(1, 3)):
        characters.insert(randomness.randint(0, len(characters)), randomness.choice(_EMOJI))
    return "".join(characters)


def _case(text: str, randomness: random.Random) -> str:
    return _some_words(
        text, randomness, lambda w: "".join(c.upper() if randomness.random() < 0.5 else c.lower() for c in w), 0.5
    )


def _masked(text: str, randomness: random.Random) -> str:
    mark = randomness.choice("***#_-x")

    def change(word: str) -> str:
        first = next(i for i, c in enumerate(word) if c.isalpha())
        hidden = [i for i in range(first + 1, len(word) - 1) if word[i].isalpha()] or [len(word) - 1]
        chosen = set(hidden if randomness.random() < 0.4 else randomness.sample(hidden, max(1, len(hidden) // 2)))
        return "".join(mark if i in chosen else c for i, c in enumerate(word))

    return _some_words(text, randomness, change, 0.2)


def _mistyped(text: str, randomness: random.Random) -> str:
    def change(word: str) -> str:
        place = randomness.randrange(len(word) - 1)
        if randomness.random() < 0.5:
            return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        return word[:place] + word[place + 1 :]

    return _some_words(text, randomness, change)


def _joined(text: str, randomness: random.Random) -> str:
    gaps = [i for i, c in enumerate(text) if c == " "]
    if not gaps:
        return text
    gone = set(randomness.sample(gaps, max(1, round(len(gaps) * randomness.choice((0.3, 0.6, 1.0))))))
    return "".join(c for i, c in enumerate(text) if i not in gone)


def _pictures(text: str, randomness: random.Random) -> str:
    words = [w if randomness.random() < 0.2 else PICTURES_EN.get(w.lower(), w) for w in text.split(" ")]
    return " ".join(words)


def _pictures_han(text: str, randomness: random.Random) -> str:
    return _some_han(text, randomness, lambda c: PICTURES_ZH.get(c, c), randomness.choice((0.4, 0.7, 1.0)))


def _split_han(text: str, randomness: random.Random) -> str:
    return _some_han(text, randomness, lambda c: _SPLIT.get(c, c), 0.6)


def _homophone(text: str, randomness: random.Random) -> str:
    def change(character: str) -> str:
        others = [c for c in _homophones().get(_sound(character), "") if c != character]
        return randomness.choice(others) if others else character

    return _some_han(text, randomness, change, randomness.choice((0.1, 0.2, 0.4)))


def _pinyin(text: str, randomness: random.Random) -> str:
    initials = randomness.random() < 0.5
    return _some_han(
        text, randomness, lambda c: (_sound(c)[:1] if initials else _sound(c)) or c, randomness.choice((0.1, 0.25))
    )


def _pinyin_everywhere(text: str, randomness: random.Random) -> str:
    mark = randomness.choice(("", " "))
    return "".join(f"{mark}{_sound(c)}" if _is_han(c) and _sound(c) else c for c in text).strip() or text


def _traditional(text: str, _randomness: random.Random) -> str:
    result: str = _opencc().convert(text)
    return result


def _is_han(character: str) -> bool:
    return "\u4e00" <= character <= "\u9fff"


@cache
def _opencc() -> _Converter:
    from opencc import OpenCC

    converter: _Converter = OpenCC("s2t")
    return converter


class _Converter:
    """The part of OpenCC that is used."""

    def convert(self, text: str) -> str:
        raise NotImplementedError


@cache
def _sound(character: str) -> str:
    """Pinyin without tone, empty for what has none."""
    from pypinyin import Style, lazy_pinyin

    found = lazy_pinyin(character, style=Style.NORMAL, errors="ignore")
    return found[0] if found else ""


@cache
def _homophones() -> dict[str, str]:
    """Sound → the common characters with it. GB 2312's first level lists the 3,755 most common ones."""
    by_sound: dict[str, str] = {}
    for row in range(0xB0, 0xD8):
        for column in range(0xA1, 0xFF):
            try:
                character = bytes((row, column)).decode("gb2312")
            except UnicodeDecodeError:
                continue
            by_sound[_sound(character)] = by_sound.get(_sound(character), "") + character
    return by_sound


EVASIONS: tuple[Evasion, ...] = (
    Evasion("leetspeak", ("en",), _leet),
    Evasion("leetspeak_everywhere", ("en",), _leet_everywhere),
    Evasion("confusables", ("en",), _confusable),
    Evasion("full_width", ("en",), _wide),
    Evasion("repeats", ("en",), _repeat),
    Evasion("spacing", ("en",), _spaced),
    Evasion("spacing_everywhere", ("en",), _spaced_everywhere),
    Evasion("mixed_case", ("en",), _case),
    Evasion("masked", ("en",), _masked),
    Evasion("typing_errors", ("en",), _mistyped),
    Evasion("joined_words", ("en",), _joined),
    Evasion("pictures", ("en",), _pictures),
    Evasion("pictures_zh", ("zh",), _pictures_han),
    Evasion("spacing_zh", ("zh",), _spaced_han),
    Evasion("homophones", ("zh",), _homophone),
    Evasion("pinyin", ("zh",), _pinyin),
    Evasion("pinyin_everywhere", ("zh",), _pinyin_everywhere),
    Evasion("split_characters", ("zh",), _split_han),
    Evasion("traditional", ("zh",), _traditional),
    Evasion("repetition", ("en", "zh"), _again),
    Evasion("invisible", ("en", "zh"), _invisible),
    Evasion("emoji", ("en", "zh"), _emoji),
)
