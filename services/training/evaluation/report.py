"""An evaluation as tables for a terminal: every figure with its interval, and what is trivial or published beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.table import Table

from services.training.evaluation.metrics import Figure
from services.training.evaluation.record import Evaluation, Findings

__all__ = ["print_report", "report_tables"]

_WORST_BEHAVIOURS = 15
#: A figure on fewer texts of one side is marked.
_FEW = 50


def print_report(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print every table and, last, what missed its target."""
    console = console or Console()
    if console.width < 120 and not console.is_terminal:
        console = Console(file=console.file, width=160)
    for table in report_tables(evaluation):
        console.print(table)
        console.print()
    for reason in evaluation.skipped:
        console.print(f"skipped: {reason}", style="yellow", highlight=False, markup=False)
    met = sum(target.met for target in evaluation.targets)
    console.print(
        f"{met} of {len(evaluation.targets)} targets met; suite {evaluation.suite}, {evaluation.seconds:.0f} s; "
        f"policy {evaluation.policy['id']} {evaluation.policy['version']}",
        highlight=False, markup=False,
    )  # fmt: skip


def report_tables(evaluation: Evaluation) -> Iterator[RenderableType]:
    """The tables, part after part."""
    findings = evaluation.findings
    for build in (_labels, _tasks, _functional, _identity, _evasions, _outside, _agreement, _explanation):
        table = build(findings)
        if table is not None:
            yield table
    missed = [target for target in evaluation.targets if not target.met]
    if missed:
        table = _table("Targets missed", "figure", "value", "target")
        for target in sorted(missed, key=lambda t: t.name):
            sign = "≥" if target.at_least else "≤"
            table.add_row(target.name, f"[red]{_number(target.value)}[/red]", f"{sign} {_number(target.limit)}")
        yield table


def _table(title: str, *columns: str, caption: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left", header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position == 0 else "right", no_wrap=True)
    return table


def _number(value: float) -> str:
    """Three decimals and no leading zero; a dash for what cannot be computed."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.3f}"


def _interval(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "-"
    return f"{_number(figure.value)} ({_number(figure.low)} to {_number(figure.high)})"


def _labels(findings: Findings) -> Table | None:
    if not findings.labels:
        return None
    table = _table(
        "1  Labels, test split of all sources", "label", "", "positive", "negative", "AUROC", "AUPRC", "random", "F1 at flag",
        "all positive", "ECE", "",
        caption="own: every positive text is the project's own example.  few: less than 50 positives.  "
        "random and all positive are the trivial baselines of AUPRC and F1",
    )  # fmt: skip
    for one in findings.labels:
        marks = [mark for mark, holds in (("own", one.own_examples_only), ("few", one.positives < _FEW)) if holds]
        table.add_row(
            one.label, one.language, str(one.positives), str(one.negatives), _interval(one.auroc), _interval(one.auprc),
            _number(one.share_of_positives), _interval(one.f1), _number(one.f1_of_all_positive), _interval(one.ece),
            " ".join(marks),
        )  # fmt: skip
    return table


def _tasks(findings: Findings) -> Table | None:
    if not findings.tasks:
        return None
    table = _table(
        "2  Tasks", "task", "texts", "metric", "this model", "majority", "char TF-IDF", "target", "published"
    )
    table.columns[-1].no_wrap = False
    table.columns[-1].justify = "left"
    for task in findings.tasks:
        for position, (metric, figure) in enumerate(task.metrics.items()):
            limit = task.targets.get(metric)
            published = "\n".join(f"{p.value}  {p.source}" for p in task.published if p.metric == metric)
            table.add_row(
                task.title if position == 0 else "",
                str(task.tested) if position == 0 else "",
                metric.replace("_", " "),
                _interval(figure),
                _number(task.majority[metric]),
                _interval(task.tfidf[metric]) if task.tfidf else "-",
                "" if limit is None else _number(limit),
                published,
            )
    return table


def _functional(findings: Findings) -> Table | None:
    found = findings.functional
    if found is None:
        return None
    table = _table(
        "3  Functional tests, the worst behaviours", "behaviour", "", "passed", "cases",
        caption=f"of what must be flagged {_number(found.wanted_passed)}, of what must not {_number(found.unwanted_passed)}",
    )  # fmt: skip
    for language, figure in found.by_language.items():
        table.add_row("all", language, _interval(figure), str(figure.positives + figure.negatives))
    table.add_section()
    for outcome in found.behaviours[:_WORST_BEHAVIOURS]:
        table.add_row(outcome.behaviour, outcome.language, _number(outcome.passed / outcome.cases), str(outcome.cases))
    return table


def _identity(findings: Findings) -> Table | None:
    if not findings.identity:
        return None
    table = _table(
        "4  Identity terms in benign sentences", "language", "terms", "flagged", "spread", "widest", "spread of scores",
        "most often flagged",
    )  # fmt: skip
    table.columns[-1].no_wrap = False
    table.columns[-1].justify = "left"
    for one in findings.identity:
        worst = ", ".join(f"{rate.term} {_number(rate.rate)}" for rate in one.worst if rate.rate > 0)
        table.add_row(
            one.language, str(one.terms), _interval(one.false_positives), _number(one.spread), _number(one.widest),
            _number(one.score_spread), worst or "none",
        )  # fmt: skip
    return table


def _evasions(findings: Findings) -> Table | None:
    if not findings.evasions and not findings.look_alikes:
        return None
    caption = ";  ".join(f"{one.name} flagged {_interval(one.false_positives)}" for one in findings.look_alikes)
    table = _table(
        "5  Evasion", "evasion", "", "positives", "score lost", "recall before", "recall after", "clean texts", "flagged before",
        "flagged after", caption=caption,
    )  # fmt: skip
    for one in findings.evasions:
        table.add_row(
            one.evasion.replace("_", " "), one.language, str(one.positives), _interval(one.drop), _number(one.recall_before),
            _interval(one.recall_after), str(one.negatives), _number(one.false_positives_before),
            _interval(one.false_positives_after),
        )  # fmt: skip
    return table


def _outside(findings: Findings) -> Table | None:
    if not findings.outside:
        return None
    table = _table(
        "6  Sets that nothing was trained on", "set", "label", "", "positive", "negative", "AUROC", "AUPRC", "random"
    )
    for one in findings.outside:
        table.add_row(
            one.name, one.label, one.language, str(one.auroc.positives), str(one.auroc.negatives), _interval(one.auroc),
            _number(one.auprc), _number(one.share_of_positives),
        )  # fmt: skip
    return table


def _agreement(findings: Findings) -> Table | None:
    found = findings.agreement
    if found is None:
        return None
    table = _table(
        "7  int8 in the engine beside float32 in torch",
        "texts",
        "mean difference",
        "99th percentile",
        "largest",
        "decisions flipped",
    )
    table.add_row(
        str(found.texts), f"{found.mean_difference:.4f}", f"{found.p99_difference:.4f}", f"{found.max_difference:.4f}",
        f"{100 * found.flipped.value:.2f} % ({100 * found.flipped.low:.2f} to {100 * found.flipped.high:.2f})",
    )  # fmt: skip
    return table


def _explanation(findings: Findings) -> Table | None:
    found = findings.explanation
    if found is None:
        return None
    table = _table(
        "8  Deciding spans: score lost when the span is deleted", "span by", "score lost", "CPU µs a text",
        caption=f"{found.texts} flagged texts, {found.not_judged} not judged (span nearly the whole text); spans hold "
        f"{_number(found.span_share)} of the tokens; the score itself costs {found.model_us:.0f} µs",
    )  # fmt: skip
    table.add_row("the engine's evidence", _interval(found.evidence), f"{found.evidence_us:.0f}")
    table.add_row("occlusion, token by token", _interval(found.occlusion), f"{found.occlusion_us:.0f}")
    table.add_row("chance", _interval(found.random), "0")
    return table
