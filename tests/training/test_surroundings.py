"""Training texts among harmless ones."""

from __future__ import annotations

import random
from math import isnan, nan

import pytest

from services.training.data.dataset import Item, load_dataset
from services.training.data.labels import LABELS
from services.training.data.own_examples import EXAMPLES, own_sources
from services.training.data.surroundings import surround

BENIGN = (0.0,) * len(LABELS)
TOXIC = (1.0, *BENIGN[1:])
UNKNOWN = (0.0, *(nan,) * (len(LABELS) - 1))


def item(text: str, targets: tuple[float, ...], language: str = "en") -> Item:
    return Item(text, targets, "toy", language, text)


def test_a_text_keeps_its_labels_and_gets_neighbours_that_have_none() -> None:
    items = [
        item("you idiot", TOXIC),
        item("nobody knows", UNKNOWN),
        item("lunch at one", BENIGN),
        item("今天天气好", BENIGN, "zh"),
    ]
    seen = set()
    for seed in range(40):
        changed = surround(items, 1.0, random.Random(seed))
        assert [(c.targets[0], c.group, c.language) for c in changed] == [
            (i.targets[0], i.group, i.language) for i in items
        ]
        assert isnan(changed[1].targets[1])
        rest = changed[0].text.replace("you idiot", "").replace("lunch at one", "")
        assert set(rest) <= {" ", "\n"}
        assert changed[0].text.count("you idiot") == 1
        seen.add((changed[0].text.startswith("you idiot"), changed[0].text.endswith("you idiot")))
        assert set(changed[3].text.replace("今天天气好", "")) <= {"\n"}
    assert {(True, False), (False, True), (False, False)} <= seen


def test_what_training_would_cut_is_not_made() -> None:
    items = [
        item("x" * 440, TOXIC),
        item("lunch at one", BENIGN),
        item("坏" * 149, TOXIC, "zh"),
        item("好的", BENIGN, "zh"),
    ]
    changed = surround(items, 1.0, random.Random(1))
    assert [changed[0].text, changed[2].text] == [items[0].text, items[2].text]


def test_without_harmless_texts_of_its_language_a_text_stays() -> None:
    items = [item("you idiot", TOXIC), item("好的", BENIGN, "zh")]
    assert surround(items, 1.0, random.Random(1))[0] == items[0]


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_about_the_share_that_was_asked_for_is_surrounded_and_nothing_that_is_held_out(share: float) -> None:
    sources = [(source, EXAMPLES) for source in own_sources()[:3]]
    plain = load_dataset(sources, evasion_share=0.0)
    changed = load_dataset(sources, evasion_share=0.0, surround_share=share)
    assert repr((changed.valid, changed.test)) == repr((plain.valid, plain.test))  # NaN is not equal to itself
    pairs = list(zip(plain.train, changed.train, strict=True))
    assert all(before.text in after.text and repr(before.targets) == repr(after.targets) for before, after in pairs)
    assert sum(before.text != after.text for before, after in pairs) / len(pairs) == pytest.approx(share, abs=0.05)
