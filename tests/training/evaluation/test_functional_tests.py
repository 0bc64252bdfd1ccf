from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.training.data.labels import LABELS
from services.training.evaluation.functional_quality import functional_quality
from services.training.evaluation.functional_tests import Case, judge, read_cases

Array = NDArray[np.float64]

FILE = """\
# A comment
# behaviour: counter_speech - condemning is not doing
- | They called her names, and that was wrong.
+toxicity,+harassment | a rude line
-hate | a line about\\na group

# behaviour: idioms - not a threat
-violence | I am dying to see it.
"""

FLAGS = dict.fromkeys(LABELS, 0.5)


def _write(folder: Path, content: str, language: str = "en") -> Path:
    (folder / f"{language}.txt").write_text(content, encoding="utf-8")
    return folder


def _scores(**high: float) -> Array:
    return np.array([[high.get(label, 0.0) for label in LABELS]])


def test_cases_carry_behaviour_language_and_what_must_and_must_not_be_flagged(tmp_path: Path) -> None:
    nothing, rude, group, idiom = read_cases(_write(tmp_path, FILE))
    assert (nothing.behaviour, nothing.language, nothing.unwanted) == ("counter_speech", "en", LABELS)
    assert rude.wanted == ("toxicity", "harassment")
    assert (group.unwanted, group.text) == (("hate",), "a line about\na group")
    assert idiom.behaviour == "idioms"


@pytest.mark.parametrize(
    "line", ["+toxicity no separator", "+unknown | text", "toxicity | no sign", "+toxicity |  ", "+ | text"]
)
def test_a_malformed_line_is_named_by_file_and_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigurationError, match=r"en\.txt, line 2"):
        list(read_cases(_write(tmp_path, f"# behaviour: b - x\n{line}\n")))


def test_a_case_before_any_behaviour_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="line 1"):
        list(read_cases(_write(tmp_path, "- | text\n")))


def test_a_wanted_label_must_reach_its_threshold() -> None:
    case = Case("b", "en", "", ("toxicity",), ())
    assert judge([case], _scores(toxicity=0.5), FLAGS)[0] == [True]
    assert judge([case], _scores(toxicity=0.49), FLAGS)[0] == [False]


def test_an_unwanted_label_must_stay_below() -> None:
    case = Case("b", "en", "", ("toxicity",), ("hate",))
    assert judge([case], _scores(toxicity=0.9, hate=0.5), FLAGS)[0] == [False]
    assert judge([case], _scores(toxicity=0.9, hate=0.49), FLAGS)[0] == [True]


def test_the_shares_are_by_language_and_the_worst_behaviour_comes_first() -> None:
    cases = [
        Case("good", "en", "", (), LABELS),
        Case("good", "en", "", (), LABELS),
        Case("poor", "zh", "", ("spam",), ()),
        Case("poor", "zh", "", (), LABELS),
    ]
    found = functional_quality(cases, np.zeros((4, len(LABELS))), FLAGS, rounds=20)
    assert found.passed.value == pytest.approx(0.75)
    assert {name: figure.value for name, figure in found.by_language.items()} == {"en": 1.0, "zh": 0.5}
    assert [(outcome.behaviour, outcome.passed) for outcome in found.behaviours] == [("poor", 1), ("good", 2)]
    assert (found.wanted_passed, found.unwanted_passed) == (0.0, 1.0)


def test_the_projects_own_cases_can_be_read() -> None:
    assert all(case.text and (case.wanted or case.unwanted) for case in read_cases())
