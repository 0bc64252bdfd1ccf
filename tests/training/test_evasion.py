"""Each way around a filter, by itself: it changes what it says it changes, and a person can still read the rest."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest
from opencc import OpenCC
from pypinyin import Style, lazy_pinyin

from services.training.data.evasion import EVASIONS, Evasion, evade

EN = "you really are a stupid person and nobody here likes you"
ZH = "你这个人真的很讨厌，滚出我们的群，没人想看你骂人"
#: What people publish: nothing to change, one word, other scripts, marks only, very long.
ODD = [
    "a",
    "好",
    "!!!",
    "🙂",
    "ok",
    "…",
    "ñandú",
    "مرحبا",
    "1234 5678",
    "line\nbreak",
    "a" * 3000,
    "好" * 2000,
    "\u200b",
    " x ",
]
BY_NAME = {evasion.name: evasion for evasion in EVASIONS}


def changed(name: str, text: str, seed: int = 0) -> str:
    return BY_NAME[name].change(text, random.Random(seed))


@pytest.mark.parametrize("evasion", EVASIONS, ids=lambda e: e.name)
def test_the_same_seed_gives_the_same_text_and_no_text_is_emptied(evasion: Evasion) -> None:
    for text in [EN, ZH, *ODD]:
        for seed in range(5):
            found = evasion.change(text, random.Random(seed))
            assert found == evasion.change(text, random.Random(seed))
            assert found.strip() or not text.strip()


@pytest.mark.parametrize("evasion", EVASIONS, ids=lambda e: e.name)
def test_a_usual_sentence_of_its_language_is_changed(evasion: Evasion) -> None:
    text = EN if "en" in evasion.languages else ZH
    text = text.replace("person", "pig").replace("讨厌", "是猪") if evasion.name.startswith("pictures") else text
    assert any(evasion.change(text, random.Random(seed)) != text for seed in range(10))


@pytest.mark.parametrize("seed", range(10))
def test_what_is_added_can_be_taken_away_again(seed: int) -> None:
    letters = re.sub(r"[^a-z]", "", EN)
    for name in ("spacing", "spacing_everywhere", "joined_words", "emoji", "invisible"):
        assert re.sub(r"[^a-z]", "", changed(name, EN, seed)) == letters, name
    assert changed("mixed_case", EN, seed).lower() == EN
    assert unicodedata.normalize("NFKC", changed("full_width", EN, seed)) == EN
    once = re.sub(r"(.)\1+", r"\1", EN)
    assert re.sub(r"(.)\1+", r"\1", changed("repeats", EN, seed)) == once


@pytest.mark.parametrize("seed", range(10))
def test_what_is_replaced_keeps_its_place(seed: int) -> None:
    for name in ("leetspeak", "leetspeak_everywhere", "confusables", "masked"):
        found = changed(name, EN, seed)
        assert len(found) == len(EN), name
        assert [i for i, c in enumerate(found) if c == " "] == [i for i, c in enumerate(EN) if c == " "], name
    assert (
        0 <= len(EN) - len(changed("typing_errors", EN, seed)) <= 3
    )  # of three words, a letter each is left out or swapped


@pytest.mark.parametrize("seed", range(10))
def test_chinese_is_read_aloud_the_same(seed: int) -> None:
    def aloud(text: str) -> list[str]:
        return list(lazy_pinyin(list(text), style=Style.NORMAL))

    assert aloud(changed("homophones", ZH, seed)) == aloud(ZH)
    assert re.sub(r"[\s，]", "", changed("pinyin_everywhere", ZH, seed)) == re.sub(r"[\s，]", "", "".join(aloud(ZH)))
    assert OpenCC("t2s").convert(changed("traditional", ZH, seed)) == ZH
    han = "".join(c for c in ZH if "\u4e00" <= c <= "\u9fff")
    assert "".join(c for c in changed("spacing_zh", ZH, seed) if c in han) == han


@pytest.mark.parametrize("text", [EN, ZH, "滚", "die"])
def test_repetition_floods_and_stays_within_what_training_reads(text: str) -> None:
    for seed in range(10):
        found = changed("repetition", text, seed)
        assert found.startswith(text)
        assert found.count(text) >= 2
        assert len(found) <= 460


def test_a_text_meets_only_evasions_of_its_language() -> None:
    assert evade("一二三", "ja", random.Random(0)) == "一二三"
    fitting = {e.change(ZH, random.Random(seed)) for e in EVASIONS if "zh" in e.languages for seed in range(50)}
    assert len({evade(ZH, "zh", random.Random(seed)) for seed in range(50)} - {ZH}) > 10
    assert len(fitting) > 50
