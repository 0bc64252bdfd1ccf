"""The gate: what passes, what fails, and by how much."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.footprint import Footprint, sample_texts
from services.training.gate import Figures, Limits, Reading, failed, judge, judge_cost

shares = st.floats(0, 1)
_LIVE = Reading(0.90, 0.88, 0.92)
_NAN = Reading(math.nan, math.nan, math.nan)


def quality(value: float) -> Figures:
    return Figures({"hate/zh": Reading(value, value, value)})


def test_the_live_version_passes_against_itself() -> None:
    figures = Figures({"a": _LIVE}, {"b": _LIVE}, {"c": _LIVE}, {"d": _LIVE})
    assert failed(judge(figures, figures)) == []


@given(live=shares, low=shares, new=shares)
def test_quality_passes_exactly_when_it_is_not_below_the_live_interval(live: float, low: float, new: float) -> None:
    before = Figures({"hate/zh": Reading(live, min(low, live), 1.0)})
    (check,) = judge(quality(new), before)
    assert check.passed == (new >= min(low, live))
    assert check.passed == (check.room >= 0)


@given(high=shares, new=shares, good_enough=shares)
def test_an_error_passes_when_it_is_inside_the_live_interval_or_small_in_itself(
    high: float, new: float, good_enough: float
) -> None:
    before = Figures({}, calibration_error={"hate": Reading(high / 2, 0.0, high)})
    after = Figures({}, calibration_error={"hate": Reading(new, new, new)})
    (check,) = judge(after, before, Limits(calibration_error=good_enough))
    assert check.passed == (new <= high or new <= good_enough)


def test_a_failure_says_which_figure_and_by_how_much() -> None:
    (check,) = failed(judge(quality(0.83), Figures({"hate/zh": _LIVE})))
    assert check.sentence == "quality hate/zh: 0.83 is 0.05 below the limit 0.88 (live 0.9)"


def test_a_pass_says_how_much_room_is_left() -> None:
    (check,) = judge(quality(0.89), Figures({"hate/zh": _LIVE}))
    assert check.sentence == "quality hate/zh: 0.89 is 0.01 above the limit 0.88 (live 0.9)"


def test_more_false_positives_on_identity_terms_fail() -> None:
    before = Figures({}, false_positives={"zh": Reading(0.03, 0.02, 0.04)})
    after = Figures({}, false_positives={"zh": Reading(0.09, 0.08, 0.10)})
    (check,) = failed(judge(after, before))
    assert check.sentence == "false positives zh: 0.09 is 0.05 above the limit 0.04 (live 0.03)"


def test_one_weaker_label_fails_although_all_others_are_better() -> None:
    before = Figures({"hate/zh": _LIVE, "hate/en": _LIVE, "spam/en": _LIVE})
    after = Figures({"hate/zh": Reading(1, 1, 1), "hate/en": Reading(0.5, 0.4, 0.6), "spam/en": Reading(1, 1, 1)})
    assert [check.name for check in failed(judge(after, before))] == ["hate/en"]


@pytest.mark.parametrize("after", [{}, {"hate/zh": _NAN}])
def test_a_figure_that_only_the_live_version_has_fails(after: dict[str, Reading]) -> None:
    (check,) = failed(judge(Figures(after), Figures({"hate/zh": _LIVE})))
    assert "was not measured" in check.sentence


def test_a_figure_without_enough_texts_is_not_compared_and_says_so() -> None:
    (check,) = judge(quality(0.1), Figures({"hate/zh": _NAN}))
    assert check.passed
    assert "too few texts" in check.sentence


def test_a_figure_that_only_the_new_version_has_is_no_check() -> None:
    assert judge(quality(0.1), Figures({})) == []


def test_a_slower_and_larger_version_fails_on_both() -> None:
    checks = judge_cost(Footprint(80, 700), Footprint(100, 500))
    assert [check.sentence for check in failed(checks)] == [
        "cost texts per second: 80 is 5 below the limit 85 (live 100)",
        "cost memory in MB: 700 is 125 above the limit 575 (live 500)",
    ]


def test_a_little_slower_is_noise() -> None:
    assert failed(judge_cost(Footprint(92, 520), Footprint(100, 500))) == []


def test_the_texts_for_the_measurement_are_the_same_every_time_and_some_are_long() -> None:
    texts = sample_texts()
    assert texts == sample_texts()
    assert len(texts) == 96
    assert max(map(len, texts)) > 400
    assert all(texts)
