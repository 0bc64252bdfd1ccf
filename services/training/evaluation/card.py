"""The parts of a model card that are figures: written by `tidegate evaluate --card`, so that no number is copied by hand.

A card holds two pairs of markers, `<!-- data: begin -->` ... `<!-- data: end -->` and the same with `figures`; what stands between
them is replaced and the rest is left as people wrote it. Promises: a card without the markers is an error and stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.errors import ConfigurationError
from services.training.versions import write_atomically

__all__ = ["data_table", "figures", "update_card"]

Document = Mapping[str, Any]


def update_card(card: Path, document: Document, manifest: Sequence[Document]) -> None:
    """Write the figures of an evaluation's `document` and the table of the run's data `manifest` into `card`.

    Raises:
        ConfigurationError: the card cannot be read, or a pair of markers is missing.
    """
    try:
        text = card.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"the model card {card} cannot be read: {error.strerror}") from error
    for name, content in (("data", data_table(manifest)), ("figures", figures(document))):
        found = re.compile(rf"(<!-- {name}: begin -->\n).*(<!-- {name}: end -->)", re.DOTALL)
        if not found.search(text):
            raise ConfigurationError(
                f"the model card {card} has no lines <!-- {name}: begin --> and <!-- {name}: end -->: add them where it belongs"
            )
        text = found.sub(lambda match, new=content: f"{match[1]}\n{new}\n{match[2]}", text)  # type: ignore[misc]
    write_atomically(card, text)


def data_table(manifest: Sequence[Document]) -> str:
    """One row per set that was trained on; the project's own examples are one row."""
    own = [entry for entry in manifest if entry["name"].startswith("own_")]
    rows = [entry for entry in manifest if entry["trainable"] and entry not in own]
    if own:
        counts = ("train", "valid", "test", "dropped_near_held_out")
        rows.append(
            {**own[0], "name": f"own examples ({len(own)} files)", "language": "zh, en"}
            | {count: sum(entry[count] for entry in own) for count in counts}
        )
    head = ("set", "language", "licence", "training texts × repeats", "validation", "test", "dropped near copies")
    return _table(
        head,
        (
            (
                row["name"], row["language"] or "zh, en", row["licence"], f"{row['train']:,} × {row['repeat']}",
                f"{row['valid']:,}", f"{row['test']:,}", f"{row['dropped_near_held_out']:,}",
            )
            for row in rows
        ),
    )  # fmt: skip


def figures(document: Document) -> str:
    """Every part of the evaluation that is there, the targets first."""
    return "\n\n".join(_parts(document))


def _parts(document: Document) -> Iterator[str]:
    missed = [target for target in document["targets"] if not target["met"]]
    yield f"{len(document['targets']) - len(missed)} of the project's {len(document['targets'])} targets are met" + (
        ". Missed:\n\n" + _table(("what", "measured", "target"), map(_target, missed)) if missed else "."
    )
    if document["tasks"]:
        yield "Tasks of the literature, beside trivial and published baselines:"
        head: tuple[str, ...] = (
            "task",
            "measure",
            "this model",
            "majority class",
            "char TF-IDF, same training texts",
            "published",
        )
        yield _table(head, (row for task in document["tasks"] for row in _task(task)))
    if document["labels"]:
        yield "Every label in each language (own: only the project's own examples are positive there):"
        head = (
            "label",
            "language",
            "positives / negatives",
            "AUROC",
            "average precision (share of positives)",
            "F1 at flag",
            "ECE",
        )
        yield _table(head, map(_label, document["labels"]))
    if functional := document["functional"]:
        by_language = ", ".join(f"{name} {_figure(found)}" for name, found in functional["by_language"].items())
        yield f"Functional tests (minimal contrasts, held out from training): passed {_figure(functional['passed'])}; {by_language}."
        worst = sorted(functional["behaviours"], key=lambda b: b["passed"] / b["cases"])[:12]
        named = "; ".join(f"{b['behaviour']} ({b['language']}) {b['passed']} of {b['cases']}" for b in worst)
        yield f"Worst behaviours: {named}."
    if document["identity"]:
        rates = "; ".join(
            f"{one['language']} {_figure(one['false_positives'])}, spread over {one['terms']} terms {one['spread']:.3f}"
            for one in document["identity"]
        )
        yield (
            f"Identity terms in harmless sentences (these sentences and templates were never trained on; other texts with the terms "
            f"were), false positives: {rates}."
        )
    if document["evasions"]:
        head = ("evasion", "language", "mean drop of the score", "recall after", "false positives on clean texts after")
        yield _table(head, map(_evasion, document["evasions"]))
    if document["look_alikes"]:
        rates = "; ".join(f"{one['name']} {_figure(one['false_positives'])}" for one in document["look_alikes"])
        yield f"Over-correction, false positives: {rates}."
    if document["outside"]:
        sets = "; ".join(
            f"{o['name']} ({o['label']}, {o['language']}) {_figure(o['auroc'])}" for o in document["outside"]
        )
        yield f"Sets that nobody trained on (AUROC): {sets}."
    if agreement := document["agreement"]:
        numbers = ", ".join(
            f"{key.replace('_', ' ')} {agreement[key]:.4f}"
            for key in ("mean_difference", "p99_difference", "max_difference")
        )
        yield (
            f"As served beside float32, {agreement['texts']} texts: {numbers}, decisions flipped {_figure(agreement['flipped'], 4)}."
        )
    if explanation := document["explanation"]:
        drops = "; ".join(f"{how} {_figure(explanation[how])}" for how in ("evidence", "occlusion", "random"))
        yield f"Explanation, mean drop of the score when the span is deleted: {drops}."


def _task(task: Document) -> Iterator[tuple[str, ...]]:
    for metric, figure in task["metrics"].items():
        published = "; ".join(f"{p['value']} {p['source']}" for p in task["published"] if p["metric"] == metric)
        tfidf = _figure(task["tfidf"][metric]) if task["tfidf"] else ""
        yield task["name"], metric, _figure(figure), f"{task['majority'][metric]:.3f}", tfidf, published


def _label(one: Document) -> tuple[str, ...]:
    share = one["positives"] / max(1, one["positives"] + one["negatives"])
    name = f"{one['label']} (own)" if one["own_examples_only"] else one["label"]
    return (
        name, one["language"], f"{one['positives']:,} / {one['negatives']:,}", _figure(one["auroc"]),
        f"{_figure(one['auprc'])} ({share:.3f})", _figure(one["f1"]), _figure(one["ece"]),
    )  # fmt: skip


def _evasion(one: Document) -> tuple[str, ...]:
    parts = ("drop", "recall_after", "false_positives_after")
    return (one["evasion"], one["language"], *(_figure(one[part]) for part in parts))


def _target(one: Document) -> tuple[str, ...]:
    value = "not computed" if one["value"] is None else f"{one['value']:.4g}"
    return one["name"], value, f"{'≥' if one['at_least'] else '≤'} {one['limit']}"


def _figure(figure: Document | None, decimals: int = 3) -> str:
    if figure is None or figure["value"] is None:
        return "not computed"
    value, low, high = (
        f"{figure[key]:.{decimals}f}" if figure[key] is not None else "?" for key in ("value", "low", "high")
    )
    return f"{value} ({low} to {high})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
