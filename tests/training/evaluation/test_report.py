from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from services.training.data.labels import LABELS

pytest.importorskip("datasketch")

from services.training.evaluation.agreement import AgreementResult
from services.training.evaluation.faithfulness import FaithfulnessResult
from services.training.evaluation.functional_quality import FunctionalResult
from services.training.evaluation.functional_tests import Outcome
from services.training.evaluation.identity_terms import IdentityResult, TermRate
from services.training.evaluation.label_quality import label_quality
from services.training.evaluation.metrics import Figure
from services.training.evaluation.outside_sets import OutsideResult
from services.training.evaluation.record import Evaluation, Findings, targets_of_findings, write_evaluation
from services.training.evaluation.report import print_report
from services.training.evaluation.robustness import EvasionResult, LookAlikes
from services.training.evaluation.suites import suite_named
from services.training.evaluation.tasks import Published, TaskResult
from tests.training.evaluation.test_held_out_sets import _item

FIGURE = Figure(0.9, 0.85, 0.95, 40, 60)
NOTHING = Figure(float("nan"), float("nan"), float("nan"), 0, 0)


def made_findings() -> Findings:
    """One of everything."""
    items = [_item(str(i), source="own_hate.en", hate=float(i % 2)) for i in range(20)]
    items += [_item(str(i), source="set", language="zh", hate=float(i % 2)) for i in range(20)]
    items += [_item(str(i), source="own_hate.zh", language="zh", hate=1.0) for i in range(3)]
    scores = np.zeros((len(items), len(LABELS)))
    scores[:, LABELS.index("hate")] = [0.8 if item.targets[LABELS.index("hate")] else 0.1 for item in items]
    labels = label_quality(items, scores, dict.fromkeys(LABELS, 0.5), suite_named("quick"))
    task = TaskResult(
        "toy", "Toy: or not", ("hate",), 2, 100, (0.4,), {"macro_f1": FIGURE}, {"macro_f1": 0.4}, {"macro_f1": NOTHING},
        {"macro_f1": 0.95}, (Published("macro_f1", ".88", "Somebody 2020"),),
    )  # fmt: skip
    return Findings(
        tuple(labels),
        (task,),
        FunctionalResult(FIGURE, {"en": FIGURE}, 0.9, 0.8, (Outcome("negation", "en", 1, 4),)),
        (IdentityResult("en", FIGURE, 2, 0.1, 0.2, 0.05, (TermRate("martian", 0.2, 0.3, 10),)),),
        (EvasionResult("full_width", "en", 40, FIGURE, 0.9, FIGURE, 40, 0.0, FIGURE),),
        (LookAlikes("safe prompts", FIGURE),),
        (OutsideResult("set", "spam", "zh", FIGURE, 0.8, 0.4),),
        AgreementResult(2000, 0.001, 0.01, 0.05, {"hate": 0.001}, Figure(0.007, 0.004, 0.01, 14, 1986)),
        FaithfulnessResult(50, 2, 0.3, FIGURE, FIGURE, NOTHING, 12.0, 90_000.0, 3_000.0),
    )


def evaluation_of(findings: Findings) -> Evaluation:
    """These findings as an evaluation."""
    return Evaluation(
        "review", "toy", "quick", "2026-01-01T00:00:00Z", 61.5, {"model.xml": "00"},
        {"id": "default", "version": "abc", "flags": {"hate": 0.5}}, {"sha256": "00", "test": 43},
        ("agreement [bold]: none",), findings, targets_of_findings(findings),
    )  # fmt: skip


def _printed(evaluation: Evaluation, width: int = 200) -> str:
    stream = io.StringIO()
    print_report(evaluation, Console(file=stream, width=width))
    return stream.getvalue()


def test_every_part_is_shown_with_its_interval_and_baselines() -> None:
    text = _printed(evaluation_of(made_findings()))
    for expected in (
        "1  Labels", "2  Tasks", "Somebody 2020", "3  Functional", "negation", "4  Identity", "martian", "5  Evasion", "full width",
        "safe prompts", "6  Sets", "7  int8", ".70 %", "8  Deciding", ".900 (.850 to .950)", "skipped: agreement [bold]",
    ):  # fmt: skip
        assert expected in text


def test_what_missed_its_target_is_listed() -> None:
    text = _printed(evaluation_of(made_findings()))
    assert "Targets missed" in text
    assert "toy macro_f1" in text
    assert "decisions flipped by int8" in text


def test_a_label_that_only_own_examples_cover_says_so() -> None:
    english, chinese = made_findings().labels
    assert (english.own_examples_only, chinese.own_examples_only) == (True, False)
    assert [source.source for source in chinese.sources] == ["own_hate.zh", "set"]
    assert math.isnan(chinese.sources[0].auroc)
    assert english.auroc.value == 1.0
    assert english.share_of_positives == 0.5


def test_without_findings_there_is_still_a_report() -> None:
    assert "0 of 0 targets met" in _printed(evaluation_of(Findings()))


def test_a_narrow_pipe_does_not_break_the_tables() -> None:
    assert ".900 (.850 to .950)" in _printed(evaluation_of(made_findings()), width=80)


def test_the_document_is_json_with_null_for_what_cannot_be_computed(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "metrics.json"
    write_evaluation(evaluation_of(made_findings()), path)
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["format"] == 1
    assert content["labels"][0]["auroc"]["value"] == 1.0
    assert content["tasks"][0]["tfidf"]["macro_f1"]["value"] is None
    assert content["agreement"]["flipped"]["value"] == pytest.approx(0.007)
    assert {target["name"]: target["met"] for target in content["targets"]}["toy macro_f1"] is False


def test_a_figure_that_cannot_be_computed_misses_its_target() -> None:
    findings = Findings(functional=FunctionalResult(NOTHING, {"zh": NOTHING}, 0, 0, ()))
    assert [target.met for target in targets_of_findings(findings)] == [False]
