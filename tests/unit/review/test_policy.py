"""From scores to an action: thresholds, severities and causes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ConfigurationError
from services.events.content import Action, Severity
from services.review.policy import LabelThresholds, Policy, PolicyFile, load_policy

LABELS = ("toxicity", "spam", "self_harm")
ACTIONS = list(Action)

FILE = PolicyFile.model_validate(
    {
        "id": "test",
        "labels": {
            "toxicity": {"flag": 0.3, "review": 0.6, "block": 0.9},
            "spam": {"review": 0.5},
            "self_harm": {"block": 0.8, "critical": True},
        },
    }
)


def judge(*scores: float) -> tuple[Action, Severity, tuple[int, ...]]:
    (verdict,) = Policy(FILE).judge(LABELS, np.array([scores]))
    return verdict.action, verdict.severity, verdict.causes


@pytest.mark.parametrize(
    ("scores", "action", "severity", "causes"),
    [
        ((0.0, 0.0, 0.0), Action.ALLOW, Severity.NONE, ()),
        ((0.2999, 0.4999, 0.7999), Action.ALLOW, Severity.NONE, ()),
        ((0.3, 0.0, 0.0), Action.FLAG, Severity.LOW, (0,)),
        ((0.6, 0.0, 0.0), Action.REVIEW, Severity.MEDIUM, (0,)),
        ((0.9, 0.0, 0.0), Action.BLOCK, Severity.HIGH, (0,)),
        ((0.0, 1.0, 0.0), Action.REVIEW, Severity.MEDIUM, (1,)),  # spam never blocks
        ((0.0, 0.0, 0.8), Action.BLOCK, Severity.CRITICAL, (2,)),
        ((0.95, 0.6, 0.0), Action.BLOCK, Severity.HIGH, (0, 1)),  # the worst level first
        ((0.61, 0.99, 0.0), Action.REVIEW, Severity.MEDIUM, (1, 0)),  # the higher score first
        ((0.95, 0.0, 0.85), Action.BLOCK, Severity.CRITICAL, (0, 2)),
    ],
)
def test_a_score_reaches_the_action_of_its_thresholds(
    scores: tuple[float, ...], action: Action, severity: Severity, causes: tuple[int, ...]
) -> None:
    assert judge(*scores) == (action, severity, causes)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 2), st.floats(0, 1))
def test_a_higher_score_never_makes_the_action_milder(scores: list[float], label: int, more: float) -> None:
    raised = list(scores)
    raised[label] = max(scores[label], more)
    assert ACTIONS.index(judge(*raised)[0]) >= ACTIONS.index(judge(*scores)[0])


def test_a_label_that_the_policy_does_not_name_never_acts() -> None:
    (verdict,) = Policy(FILE).judge(("unheard_of",), np.array([[1.0]]))
    assert verdict.action is Action.ALLOW


def test_many_texts_are_judged_each_by_its_own_scores() -> None:
    verdicts = Policy(FILE).judge(LABELS, np.array([[0.95, 0, 0], [0, 0, 0], [0, 0.7, 0]]))
    assert [v.action for v in verdicts] == [Action.BLOCK, Action.ALLOW, Action.REVIEW]


@pytest.mark.parametrize(
    ("given_", "levels"),
    [
        ({}, (np.inf, np.inf, np.inf)),
        ({"flag": 0.1}, (0.1, np.inf, np.inf)),
        ({"review": 0.5}, (0.5, 0.5, np.inf)),
        ({"block": 0.8}, (0.8, 0.8, 0.8)),
        ({"flag": 0.1, "block": 0.8}, (0.1, 0.8, 0.8)),
    ],
)
def test_an_action_left_out_takes_the_next_higher_score(
    given_: dict[str, float], levels: tuple[float, float, float]
) -> None:
    assert LabelThresholds.model_validate(given_).levels() == levels


def test_the_version_is_the_hash_of_what_the_file_says(tmp_path: Path) -> None:
    one, other, third = tmp_path / "1.yaml", tmp_path / "2.yaml", tmp_path / "3.yaml"
    one.write_text("id: a\nlabels:\n  spam: {flag: 0.1}\n  hate: {block: 0.2}\n")
    other.write_text("# a comment\nlabels:\n  hate:\n    block: 0.20\n  spam: {flag: 0.1}\nid: a\n")
    third.write_text("id: a\nlabels:\n  spam: {flag: 0.1}\n  hate: {block: 0.21}\n")
    assert load_policy(one).version == load_policy(other).version
    assert load_policy(one).version != load_policy(third).version


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("labels: {}\nid: a", "labels"),
        ("id: a\nlabels: {spam: {flag: 2}}", "labels.spam.flag"),
        ("id: a\nlabels: {spam: {flag: 0.5, block: 0.4}}", "must not fall"),
        ("id: a\nlabels: {spam: {blok: 0.4}}", "labels.spam.blok"),
        ("id: [", "not YAML"),
        ("id: a\nlabels: {spam: {flag: 0.4}, spam: {flag: 0.5}}", "'spam' is there twice"),
        ("id: a\nid: b\nlabels: {spam: {flag: 0.4}}", "'id' is there twice"),
        ("just words", "file"),
    ],
)
def test_a_mistake_is_one_message_that_names_file_and_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml cannot be read"):
        load_policy(tmp_path / "none.yaml")


def test_the_shipped_policy_is_valid() -> None:
    assert load_policy().id
