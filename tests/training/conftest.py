"""Tests of what needs the training environment: `make test-train` runs them, and everywhere else they are not collected."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

collect_ignore_glob = [] if find_spec("torch") else ["*.py"]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model of two layers with its tokenizer, in the form in which the hub has them."""
    from tests.training.tiny import write_base

    return write_base(tmp_path_factory.mktemp("base"))
