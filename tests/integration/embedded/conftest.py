"""One whole stack for all tests that only disturb it; each leaves it healthy. Whoever stops a stack starts one of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import Stack
from tests.integration.embedded.models import add_echo
from tests.load.own_stack import NULL_MODELS


@pytest.fixture(scope="package")
def models(scratch: Path) -> Path:
    """A model repository with what the review capability asks for, and a model with two instances."""
    repository = scratch / "models"
    shutil.copytree(NULL_MODELS, repository)
    add_echo(repository, "echo", instances=2)
    return repository


@pytest.fixture(scope="package")
def whole(scratch: Path, models: Path, _own_environment: None) -> Iterator[Stack]:
    """Every part and the app, healthy."""
    stack = Stack(scratch / "whole", model_repositories=[models])
    stack.up()
    yield stack
    stack.down()


@pytest.fixture
def empty(scratch: Path, request: pytest.FixtureRequest, _own_environment: None) -> Iterator[Path]:
    """A data folder of the test's own; whatever the test left running there is stopped."""
    folder = scratch / request.node.originalname
    yield folder
    Stack(folder).down()
    shutil.rmtree(folder, ignore_errors=True)
