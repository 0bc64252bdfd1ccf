"""Every metric is declared in one place, exported, and named by the rules."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from services.errors import DeadLetterReason
from services.telemetry import metrics

DECLARED = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
ROOT = Path(__file__).resolve().parents[3]


def test_every_metric_that_is_declared_is_handed_out() -> None:
    assert sorted(DECLARED) == sorted(metrics.__all__)


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_a_metric_is_named_by_the_rules_and_explained(name: str) -> None:
    metric = DECLARED[name]
    (family,) = metric.describe()
    assert family.name.startswith("tidegate_")
    assert family.documentation.endswith(".")
    if isinstance(metric, Histogram) and family.name != "tidegate_batch_size":
        assert family.name.endswith("_seconds")
    assert isinstance(metric, Counter | Gauge | Histogram | Info)


def test_every_metric_is_exported() -> None:
    exported = {family.name for family in text_string_to_metric_families(generate_latest().decode())}
    for metric in DECLARED.values():
        (family,) = metric.describe()
        name = f"{family.name}_info" if family.type == "info" else family.name
        assert name.removesuffix("_info") in {one.removesuffix("_info") for one in exported}


def test_no_label_can_hold_a_tenant_an_id_or_a_text() -> None:
    labels = {label for metric in DECLARED.values() for label in metric._labelnames}
    assert labels <= {
        "capability", "cause", "dependency", "event", "model", "outcome", "partition", "reason", "statement", "topic"
    }  # fmt: skip


def test_nothing_else_declares_a_metric() -> None:
    kinds = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    offenders = []
    for folder in ("services", "consumers"):
        for path in (ROOT / folder).rglob("*.py"):
            if path == Path(metrics.__file__):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client":
                    offenders += [str(path) for alias in node.names if alias.name in kinds]
    assert offenders == []


def test_every_metric_is_used_by_something() -> None:
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("services", "consumers")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert [name for name in DECLARED if f"metrics.{name}" not in source] == []


@pytest.mark.parametrize("reason", list(DeadLetterReason))
def test_a_dead_letter_reason_is_a_short_stable_word(reason: DeadLetterReason) -> None:
    assert reason.value == reason.name.lower()
    assert reason.value.replace("_", "").isalnum()
