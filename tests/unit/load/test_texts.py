"""The sampler of texts for load."""

from __future__ import annotations

from tests.load.texts import sample_texts


def test_the_same_seed_gives_the_same_texts() -> None:
    assert sample_texts(300, 3) == sample_texts(300, 3)
    assert sample_texts(300, 3) != sample_texts(300, 4)


def test_no_text_comes_twice() -> None:
    texts = sample_texts(5000)
    assert len(set(texts)) == len(texts)


def test_about_half_of_the_texts_are_chinese() -> None:
    texts = sample_texts(1000)
    chinese = sum(any("一" <= character <= "鿿" for character in text) for text in texts)
    assert 400 < chinese < 600
