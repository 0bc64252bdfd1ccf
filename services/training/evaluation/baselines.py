"""The baseline that every task is measured beside: character TF-IDF (2 to 5 grams) and logistic regression on the same texts.

It costs minutes, so its figures are kept in a JSON file under a hash of the texts and classes it saw; nothing in the file can be
turned back into a text. Promises: same data, same figures; a damaged or foreign cache file is computed anew, never trusted.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.training.evaluation.metrics import Figure
from services.training.evaluation.tasks import Task, Texts, rate

__all__ = ["BASELINES_FILE", "baseline"]

BASELINES_FILE = "baselines.json"
#: Part of the key: figures of another recipe are not this one's.
_RECIPE = "char 2-5 grams, sublinear, at least twice, C=4, tuned thresholds"
_FEATURES = 300_000


def baseline(
    task: Task,
    train: Texts,
    valid: Texts,
    test: Texts,
    cache: Path,
    *,
    rounds: int,
    fit: bool,
) -> Mapping[str, Figure] | None:
    """Figures of the baseline on the test texts; None when they are not cached and `fit` is false, or there is nothing to fit."""
    if not train.texts or not test.texts or len(np.unique(train.classes)) <= len(task.labels):
        return None
    key = _key(task, train, valid, test)
    known = _read(cache)
    if key in known:
        return known[key]
    if not fit:
        return None
    scores = _scores(train, len(task.labels), [*valid.texts, *test.texts])
    cut = len(valid.texts)
    _, figures = rate(task, (scores[:cut], valid.classes), (scores[cut:], test.classes), rounds)
    content = {
        name: {metric: asdict(figure) for metric, figure in found.items()}
        for name, found in (known | {key: figures}).items()
    }
    part = cache.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(cache)
    return figures


def _scores(train: Texts, labels: int, texts: list[str]) -> NDArray[np.float64]:
    """Probabilities (n, labels) by one regression per label, thresholded and tuned like the model's."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(
        analyzer="char", ngram_range=(2, 5), min_df=2, sublinear_tf=True, max_features=_FEATURES, dtype=np.float32
    )
    features, others = vectorizer.fit_transform(train.texts), vectorizer.transform(texts)
    columns = []
    for label in range(labels):
        truth = train.classes >= 1 if label == 0 else train.classes == label + 1
        regression = LogisticRegression(C=4, solver="liblinear").fit(features, truth)
        columns.append(regression.predict_proba(others)[:, 1])
    return np.stack(columns, axis=1)


def _key(task: Task, *parts: Texts) -> str:
    digest = hashlib.sha256(f"{_RECIPE}/{task.name}/{task.metrics}".encode())
    for part in parts:
        for text, number in sorted(zip(part.texts, part.classes.tolist(), strict=True)):
            digest.update(text.encode("utf-8", "replace") + b"\0%d\0" % number)
    return f"{task.name}-{digest.hexdigest()[:24]}"


def _read(cache: Path) -> dict[str, dict[str, Figure]]:
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        return {key: {m: Figure(**values) for m, values in found.items()} for key, found in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
