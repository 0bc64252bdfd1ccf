"""What the gate reads of an evaluation, and when two evaluations can be compared."""

from __future__ import annotations

import math

import pytest

from services.errors import ConfigurationError
from services.training.evaluated import comparable_figures, read_metrics
from services.training.gate import failed, judge
from tests.unit.training.evaluations import document


def test_every_kind_of_figure_reaches_the_gate() -> None:
    figures = read_metrics(document({}), "x").figures(at_thresholds=True)
    labels = {"hate zh", "spam en", "F1 at flag hate zh", "F1 at flag spam en"}
    assert set(figures.quality) == labels | {"task cold accuracy", "functional tests zh"}
    assert set(figures.robustness) == {"leet en"}
    assert set(figures.calibration_error) == {"hate zh", "spam en"}
    assert set(figures.false_positives) == {"identity terms zh", "safe prompts"}
    assert figures.quality["hate zh"].low == pytest.approx(0.88)


def test_a_figure_that_could_not_be_computed_is_nan() -> None:
    figures = read_metrics(document({}), "x").figures(at_thresholds=True)
    assert math.isnan(figures.quality["spam en"].value)


def test_a_document_of_another_shape_names_the_field_and_whose_it_is() -> None:
    with pytest.raises(ConfigurationError, match=r"version 3 are not what .* \(labels\.0\.auroc: .*evaluate it again"):
        read_metrics(document({}, labels=[{"label": "hate", "language": "zh"}]), "version 3")


def test_an_evaluation_without_functional_tests_is_read() -> None:
    figures = read_metrics(document({}, functional=None), "x").figures(at_thresholds=True)
    assert "functional tests zh" not in figures.quality


def test_two_evaluations_on_the_same_ground_have_no_problem() -> None:
    same = read_metrics(document({}), "x")
    new, live, problems = comparable_figures(same, same)
    assert problems == []
    assert new == live


def test_other_test_texts_and_a_sample_stand_against_a_comparison() -> None:
    new = read_metrics(document({}, suite="quick", data={"sha256": "d2"}), "x")
    _, _, problems = comparable_figures(new, read_metrics(document({}), "x"))
    suite, texts = (check.sentence for check in problems)
    assert suite == "comparison suite: the new version was measured with 'quick': evaluate it with 'standard'"
    assert texts.startswith("comparison test texts: the live version was measured on other data")
    assert "--live-metrics" in texts
    assert not any(check.passed for check in problems)


def test_figures_of_a_sample_of_the_live_version_stand_against_a_comparison() -> None:
    live = read_metrics(document({}, suite="quick"), "x")
    _, _, (problem,) = comparable_figures(read_metrics(document({}), "x"), live)
    assert problem.sentence.startswith(
        "comparison suite: the live version was measured with 'quick': evaluate the live"
    )
    assert not problem.passed


def test_a_label_whose_scores_shrink_below_its_threshold_fails_although_it_ranks_as_before() -> None:
    live = document({})
    (label, other) = live["labels"]
    lost = {"value": 0.0, "low": 0.0, "high": 0.0, "positives": 100, "negatives": 100}
    new = document({}, labels=[{**label, "f1": lost}, other])
    figures, before, _ = comparable_figures(read_metrics(new, "x"), read_metrics(live, "x"))
    assert [check.name for check in failed(judge(figures, before))] == ["F1 at flag hate zh"]


def test_under_another_policy_only_what_needs_no_threshold_is_compared() -> None:
    live = read_metrics(document({}, policy={"version": "p0"}), "x")
    new, old, problems = comparable_figures(read_metrics(document({}), "x"), live)
    assert [check.name for check in problems] == ["thresholds"]
    assert set(new.quality) == set(old.quality) == {"hate zh", "spam en", "task cold accuracy"}
    assert not new.robustness
    assert not old.false_positives


def test_figures_of_other_files_are_not_the_figures_of_these() -> None:
    metrics = read_metrics(document({"model.bin": "a"}), "x")
    assert metrics.measured({"model.bin": "a", "more": "b"})
    assert not metrics.measured({"model.bin": "b"})
    assert not metrics.measured({})
