"""The ground that an evaluation stands on: one hash over everything that a model is measured with, so that two can be compared.

Promises: whatever changes a text, a target or a choice of texts changes the hash: other rows in a file or behind a query, another
column or encoding in the configuration, another functional test, another prompt. It says nothing of training texts, which belong to
a model and not to its examination.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.training.data.dataset import Dataset
from services.training.evaluation.functional_tests import read_cases
from services.training.evaluation.identity_terms import read_templates
from services.training.evaluation.label_quality import LANGUAGES
from services.training.evaluation.outside_sets import OUTSIDE_SETS, read_outside
from services.training.evaluation.robustness import safe_prompts
from services.training.evaluation.suites import Suite

__all__ = ["ground_sha256"]


def ground_sha256(dataset: Dataset, public: Path | None, suite: Suite) -> str:
    """Over the test texts, the validation texts (they tune the tasks' thresholds) and the tests that come from elsewhere."""
    digest = hashlib.sha256()
    for name, rows in _parts(dataset, public, suite):
        digest.update(f"{name}\n".encode())
        for row in rows:
            # A repr tells fields and rows apart, whatever a text holds; half a surrogate pair is no reason to fail here.
            digest.update(f"{row!r}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _parts(dataset: Dataset, public: Path | None, suite: Suite) -> Iterator[tuple[str, Iterable[object]]]:
    for name, items in (("test", dataset.test), ("valid", dataset.valid)):
        yield name, ((item.source, item.language, item.targets, item.text) for item in items)
    yield "functional", read_cases()
    if public is None:
        return
    for language in LANGUAGES:
        yield f"identity {language}", read_templates(public, language, suite.identity)
    yield "safe prompts", safe_prompts(public)
    for one in OUTSIDE_SETS:
        yield f"outside {one.name}", read_outside(one, public, suite)
