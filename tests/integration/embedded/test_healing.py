"""Whatever is killed or frozen comes back by itself, and everything is healthy again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from deploy.embedded import Stack
from deploy.embedded.stubs import stubs_of
from tests.integration.embedded.models import add_broken, add_echo, add_slow
from tests.integration.embedded.watching import model, named, pids, until

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    "name", ["kafka", "postgres", "valkey", "triton", "triton-stub:echo", "dispatcher-1", "worker-1"]
)
def test_a_killed_process_comes_back(whole: Stack, name: str) -> None:
    before = until(whole, lambda state: state.healthy)
    victim = min(pids(before, name))
    restarts = sum(one.restarts for one in before.processes if one.name == name)
    os.kill(victim, signal.SIGKILL)
    after = until(whole, lambda state: state.healthy and victim not in pids(state, name))
    assert len(pids(after, name)) == len(pids(before, name))
    assert sum(one.restarts for one in after.processes if one.name == name) > restarts


def test_a_server_that_is_killed_while_it_loads_leaves_no_stub_behind_and_is_not_waited_for(
    whole: Stack, models: Path
) -> None:
    until(whole, lambda state: state.healthy)
    folder = add_slow(models, "slow", seconds=10)
    try:
        # The stub that loads is not among those that the state lists.
        before = until(whole, lambda state: "slow" in {stub.model for stub in stubs_of(min(pids(state, "triton")))})
        server = min(pids(before, "triton"))
        left = [stub.process for stub in stubs_of(server)]
        os.kill(server, signal.SIGKILL)
        until(whole, lambda state: bool((one := model(state, "slow")) and one.healthy) and state.healthy)
        assert not any(process.live() for process in left)
    finally:
        folder.rename(models.parent / "was-slow")
    until(whole, lambda state: model(state, "slow") is None and state.healthy)


def test_frozen_servers_and_processes_are_noticed_and_started_again(whole: Stack) -> None:
    names = ("kafka", "postgres", "valkey", "triton", "dispatcher-1", "worker-1")
    before = until(whole, lambda state: state.healthy)
    victims = {name: min(pids(before, name)) for name in names}
    for victim in victims.values():
        os.kill(victim, signal.SIGSTOP)
    until(
        whole,
        lambda state: state.healthy and not any(victim in pids(state, name) for name, victim in victims.items()),
    )
    assert not any(psutil.pid_exists(victim) for victim in victims.values())


def test_one_frozen_stub_of_two_is_noticed_although_the_other_one_answers(whole: Stack) -> None:
    before = until(whole, lambda state: state.healthy)
    frozen = min(pids(before, "triton-stub:echo"))
    os.kill(frozen, signal.SIGSTOP)
    after = until(whole, lambda state: state.healthy and frozen not in pids(state, "triton-stub:echo"))
    assert len(pids(after, "triton-stub:echo")) == 2


def test_a_model_that_appears_later_is_loaded_and_one_that_disappears_is_forgotten(whole: Stack, models: Path) -> None:
    folder = add_echo(models, "later")
    state = until(whole, lambda state: bool((one := model(state, "later")) and one.healthy))
    found = model(state, "later")
    assert found is not None
    assert (found.version, len(found.sha256)) == ("1", 64)
    folder.rename(models.parent / "gone")
    until(whole, lambda state: model(state, "later") is None and state.healthy)


def test_a_model_that_cannot_be_loaded_stops_no_other_and_says_why(whole: Stack, models: Path) -> None:
    folder = add_broken(models, "broken")
    try:
        state = until(
            whole,
            lambda state: (
                bool((one := model(state, "broken")) and one.detail.startswith("cannot be loaded"))
                and all(one.healthy for one in state.processes)
                and all(one.healthy for one in state.models if one.name != "broken")
            ),
        )
        found = model(state, "broken")
        assert found is not None
        assert "the weights are damaged" in found.detail
        assert not state.healthy
        code = folder / "1" / "model.py"
        code.write_text(code.read_text().replace("raise RuntimeError('the weights are damaged')", ""))
        until(whole, lambda state: state.healthy)
    finally:
        folder.rename(models.parent / "was-broken")
    until(whole, lambda state: model(state, "broken") is None and state.healthy)


def test_a_killed_supervisor_leaves_the_servers_running_and_the_next_up_starts_anew(whole: Stack) -> None:
    before = until(whole, lambda state: state.healthy)
    old = named(before)
    os.kill(before.supervisor_pid, signal.SIGKILL)
    old[0].wait()
    told = whole.status()
    assert told is not None
    assert not told.healthy
    assert told.message == "the supervisor was killed and nothing is watched: run `tidegate up` again"
    assert all(process.is_running() for process in old[1:])
    said: list[str] = []
    after = whole.up(lambda _, sentence: said.append(sentence))
    assert any("that an earlier start left behind" in sentence for sentence in said)
    assert after.healthy
    assert after.supervisor_pid != before.supervisor_pid
    assert not any(process.is_running() for process in old)
    assert after.endpoints == before.endpoints
