from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from services.training.data.labels import LABELS

pytest.importorskip("datasketch")
pytest.importorskip("openvino")

from services.errors import ConfigurationError
from services.training.evaluation.agreement import agree, fitting_items
from services.training.evaluation.faithfulness import Probe, best_run, faithfulness
from services.training.evaluation.policy_levels import load_levels
from services.training.evaluation.scoring import Scorer, encodable
from tests.training.evaluation.test_held_out_sets import _item
from tests.training.evaluation.tiny_model import write_tiny_model

TOXICITY, SPAM = LABELS.index("toxicity"), LABELS.index("spam")
LIMITS = np.full(len(LABELS), 0.5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("tiny") / "served")


def test_texts_are_scored_in_order_and_each_once(tiny: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    with Scorer(tiny, processes=2, watch=lambda *step: seen.append(step)) as score:
        first = score(["bad bad", "nice", "spam spam", "nice"], "some")
        again = score(["nice", "bad bad"])
    assert first[0, TOXICITY] > 0.9
    assert first[1, TOXICITY] < 0.1
    assert first[2, SPAM] > 0.9
    assert (first[1] == first[3]).all()
    assert (again == first[[1, 0]]).all()
    assert seen[0] == ("some", 0, 3)
    assert seen[-1][1:] == (0, 0)


def test_no_text_gives_no_score(tiny: Path) -> None:
    with Scorer(tiny, processes=1) as score:
        assert score([]).shape == (0, len(LABELS))


def test_half_a_surrogate_pair_is_replaced() -> None:
    assert encodable("a\ud83d") == "a?"


def test_a_model_with_other_labels_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "served", ("toxicity", "spam"))
    with pytest.raises(ConfigurationError, match="other labels"):
        Scorer(folder)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="export"):
        Scorer(tmp_path)


def test_the_best_run_has_the_largest_sum() -> None:
    assert best_run([0.1, 0.0, 0.3, 0.4, 0.0], 2) == (2, 4)
    assert best_run([0.5, 0.1], 2) == (0, 2)


def test_a_span_is_turned_into_tokens_and_deleted() -> None:
    probe = Probe("you bad man", 0, 0.9, (4, 7), ((0, 3), (4, 7), (8, 11)))
    assert probe.chosen == (1, 2)
    assert probe.without(probe.chosen) == "you  man"


def test_the_engines_span_beats_chance_where_one_word_decides(tiny: Path) -> None:
    texts = ["one two three bad four five six", "bad one two three four five"]
    found = faithfulness(tiny, [*texts, "nothing at all here"], LIMITS, rounds=10)
    assert found is not None
    assert found.texts == 2
    assert found.evidence.value == pytest.approx(found.occlusion.value)
    assert found.evidence.value > found.random.value


def test_without_a_flagged_text_nothing_is_explained(tiny: Path) -> None:
    assert faithfulness(tiny, ["nothing at all"], LIMITS, rounds=10) is None


def test_only_texts_of_one_window_are_compared(tiny: Path) -> None:
    items = [_item("bad " * 200), _item("short")]
    assert [item.text for item in fitting_items(items, tiny / "tokenizer.json", 10)] == ["short"]


def test_differences_and_flips_by_hand() -> None:
    served, trained = np.array([[0.5, 0.2], [0.9, 0.1]]), np.array([[0.4, 0.2], [0.9, 0.3]])
    found = agree(["a", "b"], (served, ["flag", "block"]), (trained, ["allow", "block"]), rounds=10)
    assert found.mean_difference == pytest.approx((0.1 + 0.2) / 4)
    assert found.max_difference == pytest.approx(0.2)
    assert found.flipped.value == pytest.approx(0.5)
    assert found.bias == {"a": pytest.approx(0.05), "b": pytest.approx(-0.1)}


def test_a_sub_label_without_thresholds_takes_its_parents(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(yaml.safe_dump({"id": "p", "labels": {"hate": {"flag": 0.3}, "spam": {"review": 0.7}}}))
    levels = load_levels(path)
    assert levels.flags["hate.sexism"] == 0.3
    assert levels.flags["spam"] == 0.7
    assert levels.flags["fraud"] == 0.5
    scores = np.zeros((2, len(LABELS)))
    scores[0, LABELS.index("hate")] = 0.31
    assert levels.actions(scores) == ["flag", "allow"]
