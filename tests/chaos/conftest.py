"""One stack for the scenarios: everything runs, with a null model, the shipped capability and the toy one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.embedded import Stack, StackState, stack_environment
from services.capabilities import load_capabilities
from services.settings import Settings
from tests.chaos.evidence import Target
from tests.chaos.run import wait_until_healthy
from tests.load.own_stack import NULL_MODELS, environment_of, scratch_folder, settings_of

_SETTINGS = {
    "TIDEGATE_CAPABILITIES": "services.review.capability:REVIEW,tests.toy.capability:TOY",
    "TIDEGATE_TOPIC_PARTITIONS": "4",
    # A lost batch is sent again after so much healthy time: the scenarios need not wait six seconds each time.
    "TIDEGATE_BATCH_DEADLINE_S": "2",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """The stack, and what a process of it is started with."""

    stack: Stack
    settings: Settings
    environment: Mapping[str, str]

    def target(self, capability: str) -> Target:
        return Target.of(self.settings, load_capabilities(self.settings)[capability])

    def state(self) -> StackState:
        state = self.stack.status()
        assert state is not None
        return state

    def restarts(self, process: str) -> int:
        return next(one.restarts for one in self.state().processes if one.name == process)

    @property
    def folder(self) -> Path:
        return self.stack.folder.root


@pytest.fixture(scope="session")
def started_scene() -> Iterator[Scene]:
    with scratch_folder("scenes") as folder:
        stack = Stack(folder, model_repositories=(NULL_MODELS,))
        try:
            with environment_of(_SETTINGS):
                state = stack.up()
                scene = Scene(stack, settings_of(state), {**os.environ, **stack_environment(state)})
            yield scene
        finally:
            stack.down()


@pytest.fixture
def scene(started_scene: Scene) -> Scene:
    """Healthy, whatever the scenario before it broke."""
    wait_until_healthy(started_scene.stack, 120)
    assert started_scene.state().healthy
    return started_scene
