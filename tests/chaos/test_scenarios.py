"""One thing is broken on purpose while events are under way; the checker must find nothing lost, doubled or changed.

The scenarios of the prototype's table (docs of the design, section 1.1), on real Apache Kafka, Postgres, Valkey and Triton.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.conftest import Scene
from tests.chaos.counters import scrape
from tests.chaos.events import decided, refused, review_events, toy_data
from tests.chaos.journal import Planned
from tests.chaos.kinds import Act
from tests.chaos.monkey import Monkey
from tests.chaos.trial import Trial

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

_PATIENCE_S = 120.0
_numbers = itertools.count(1)


def _trial(scene: Scene, events: int, rate: float | None = None) -> Trial:
    """Events of the review capability, with repetitions and rubbish among them."""
    number = next(_numbers)
    run = f"scene{number}-"
    planned = review_events(run, events, seed=number, null_model=True)
    return Trial(scene.target("review"), scene.folder, run, planned, rate)


def _toy_trial(scene: Scene, events: Iterable[Planned], run: str) -> Trial:
    return Trial(scene.target("toy"), scene.folder, run, events)


def _toy_events(run: str, count: int, bad: dict[int, tuple[str, str]]) -> Iterator[Planned]:
    """`bad` are numbers of events → (text, reason of its dead letter)."""
    for number in range(count):
        event_id = f"{run}{number}"
        text, reason = bad.get(number, ("x" * (number % 50), ""))
        data = toy_data(event_id, text)
        if reason:
            yield refused("toy.requested", event_id, data["toy_id"], data, reason)
        else:
            expect = {"toy_id": data["toy_id"], "length": len(text)}
            yield decided("toy.requested", event_id, data["toy_id"], data, expect)


def _assert_flawless(trial: Trial) -> None:
    trial.wait_until_settled(_PATIENCE_S)
    verdict = trial.verdict()
    assert not verdict.faults
    assert verdict.decided == verdict.published > 0
    assert verdict.rejected == verdict.planted


def _hit(scene: Scene, act: Act) -> None:
    assert Monkey(scene.stack, seed=1, seconds_between=1).hit(act, scene.state())


def test_without_any_fault_every_event_has_exactly_its_effects(scene: Scene) -> None:
    with _trial(scene, 4000) as trial:
        _assert_flawless(trial)


def test_nothing_is_lost_or_doubled_when_the_worker_is_killed_at_30_percent(scene: Scene) -> None:
    before = scene.restarts("worker-1")
    with _trial(scene, 4000, rate=800) as trial:
        trial.wait_for(1200, _PATIENCE_S)
        _hit(scene, Act("worker", "kill"))
        _assert_flawless(trial)
    assert scene.restarts("worker-1") > before


def test_nothing_is_lost_or_doubled_when_the_dispatcher_is_killed_at_30_percent(scene: Scene) -> None:
    before = scene.restarts("dispatcher-1")
    with _trial(scene, 4000, rate=800) as trial:
        trial.wait_for(1200, _PATIENCE_S)
        _hit(scene, Act("dispatcher", "kill"))
        _assert_flawless(trial)
    assert scene.restarts("dispatcher-1") > before


def test_nothing_is_lost_or_doubled_when_the_broker_of_the_workers_forgets_everything_twice(scene: Scene) -> None:
    with _trial(scene, 6000) as trial:
        for share in (0.2, 0.6):
            trial.wait_for(int(6000 * share), _PATIENCE_S)
            _hit(scene, Act("valkey", "flush"))
        _assert_flawless(trial)


def test_two_events_that_raise_are_the_only_dead_letters(scene: Scene) -> None:
    run = f"scene{next(_numbers)}-"
    bad = {30: ("RAISE", "internal"), 1700: ("RAISE", "internal")}
    with _toy_trial(scene, _toy_events(run, 2000, bad), run) as trial:
        _assert_flawless(trial)


def test_two_events_that_end_the_workers_process_are_the_only_dead_letters(scene: Scene) -> None:
    run = f"scene{next(_numbers)}-"
    # Few, because each proof against an event costs the start of a worker.
    bad = {10: ("EXIT", "worker_lost"), 11: ("EXIT", "worker_lost")}
    with _toy_trial(scene, _toy_events(run, 40, bad), run) as trial:
        _assert_flawless(trial)


def test_nothing_is_lost_or_doubled_when_a_second_dispatcher_joins_and_leaves(scene: Scene) -> None:
    # Of both capabilities, because the second dispatcher may be given partitions of one topic only.
    with _endless_trial(scene, "toy") as toy, _endless_trial(scene, "review") as review:
        for trial in (toy, review):
            trial.wait_for(300, _PATIENCE_S)
        with _second_dispatcher(scene) as metrics:
            _wait_until_it_consumes(metrics, 300)
        for trial in (toy, review):
            trial.wait_for(trial.look() + 300, _PATIENCE_S)
            trial.feed.finish()
        for trial in (toy, review):
            _assert_flawless(trial)


def _endless_trial(scene: Scene, capability: str) -> Trial:
    number = next(_numbers)
    run = f"scene{number}-"
    events = (
        _toy_events(run, 100_000, {}) if capability == "toy" else review_events(run, 20_000, number, null_model=True)
    )
    return Trial(scene.target(capability), scene.folder, run, events, rate=150)


@contextmanager
def _second_dispatcher(scene: Scene) -> Iterator[str]:
    """A dispatcher beside the stack's own; it leaves in good order. Yields the URL of its metrics."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**scene.environment, "TIDEGATE_METRICS_PORT": str(port)}
    log = scene.stack.folder.log("second-dispatcher")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "consumers.dispatcher"],
            env=environment,
            cwd=scene.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        os.kill(process.pid, signal.SIGTERM)
        code = process.wait(timeout=60)
    assert code == 0


def _wait_until_it_consumes(metrics: str, records: int) -> None:
    give_up_at = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up_at:
        counted = scrape(metrics)
        if sum(value for name, value in counted.items() if name.startswith("tidegate_consumed_total")) >= records:
            return
        time.sleep(0.2)
    pytest.fail("the second dispatcher was not given enough to do")
