from __future__ import annotations

import numpy as np
import pytest

from services.training.data.labels import LABELS

pytest.importorskip("datasketch")

from services.training.data.dataset import Item
from services.training.evaluation.weights import balanced_weights


def _items(counts: dict[tuple[str, str], int]) -> list[Item]:
    nothing = (float("nan"),) * len(LABELS)
    return [Item("", nothing, source, language) for (source, language), count in counts.items() for _ in range(count)]


def test_both_languages_weigh_the_same_whatever_their_sizes() -> None:
    items = _items({("a", "en"): 300, ("b", "zh"): 20})
    weights = balanced_weights(items, np.zeros((320, 1)))[:, 0]
    assert weights[:300].sum() == pytest.approx(weights[300:].sum())
    assert weights.mean() == pytest.approx(1.0)


def test_a_source_with_a_hundred_times_the_texts_weighs_ten_times_as_much() -> None:
    items = _items({("big", "en"): 400, ("small", "en"): 4})
    weights = balanced_weights(items, np.zeros((404, 1)))[:, 0]
    assert weights[:400].sum() == pytest.approx(10 * weights[400:].sum())


def test_a_text_whose_target_is_unknown_weighs_nothing() -> None:
    items = _items({("a", "en"): 2})
    weights = balanced_weights(items, np.array([[np.nan, 1.0], [0.0, np.nan]]))
    assert weights[0, 0] == 0
    assert weights[1, 1] == 0
    assert weights[1, 0] == pytest.approx(1.0)
