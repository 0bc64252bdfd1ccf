"""Kills, freezes and empties the parts of an embedded stack at random; the stack's supervisor has to bring them back.

Each round of the bag holds every kind once, so a run of any length hits all of them about equally. Promises: it signals only
processes that the stack's own state names and that descend from its supervisor; what it froze is woken, at the latest by
`stop`. It does not wait for health between two acts: outages overlap, as they do in bad nights.
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import get_args

import psutil
import redis

from deploy.embedded import Stack, StackState
from tests.chaos.kinds import Act, Kind, kind_of

__all__ = ["Monkey"]

#: Acts of one round beside a kill of each kind.
_FLUSHES, _FREEZES = 2, 1
_FREEZE_S = (2.0, 6.0)
#: Beyond the Kafka session timeout (10 s): the dispatcher wakes up as a zombie whose partitions are gone.
_DISPATCHER_FREEZE_S = (2.0, 13.0)
_SOONEST, _LATEST = 0.5, 1.5


class Monkey:
    """Acts on a thread of its own every `seconds_between` seconds, half to one and a half of it, until `stop`."""

    def __init__(
        self, stack: Stack, seed: int, seconds_between: float, before: Callable[[Act], None] = lambda _: None
    ) -> None:
        self._stack = stack
        self._random = random.Random(seed)
        self._seconds_between = seconds_between
        self._before = before
        self._bag: list[Act] = []
        self._frozen: dict[int, tuple[list[psutil.Process], threading.Timer]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monkey", daemon=True)
        self.acts: Counter[Act] = Counter()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more of it."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            frozen = list(self._frozen)
        for number in frozen:
            self._wake(number)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(self._seconds_between * self._random.uniform(_SOONEST, _LATEST)):
            number += 1
            self._act(number)

    def _act(self, number: int) -> None:
        """The next act of the bag whose victim is there; a part that is down at the moment keeps its place."""
        state = self._stack.status()
        if state is None:
            return
        if not self._bag:
            self._bag = self._new_bag()
        for place, act in enumerate(self._bag):
            if self.hit(act, state, number):
                del self._bag[place]
                return

    def hit(self, act: Act, state: StackState, number: int = 0) -> bool:
        """Do it now; false when there is nobody to do it to."""
        if act.how == "flush":
            self._before(act)
            done = _flush(state)
        else:
            process = self._victim(act.kind, state)
            if process is None:
                return False
            self._before(act)
            done = self._freeze(process, act.kind, number) if act.how == "freeze" else _signal(process, signal.SIGKILL)
        if done:
            self.acts[act] += 1
        return done

    def _new_bag(self) -> list[Act]:
        kinds: list[Kind] = list(get_args(Kind))
        bag = [Act(kind, "kill") for kind in kinds]
        bag += [Act("valkey", "flush")] * _FLUSHES
        bag += [Act(kind, "freeze") for kind in self._random.sample(kinds, _FREEZES)]
        self._random.shuffle(bag)
        return bag

    def _victim(self, kind: Kind, state: StackState) -> psutil.Process | None:
        pids = [one.pid for one in state.processes if one.pid is not None and kind_of(one.name) == kind]
        self._random.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(psutil.Error), self._lock:
                process = psutil.Process(pid)
                awake = process.status() not in {psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED}
                if awake and any(parent.pid == state.supervisor_pid for parent in process.parents()):
                    return process
        return None

    def _freeze(self, process: psutil.Process, kind: Kind, number: int) -> bool:
        processes = [process]
        if kind == "postgres":  # its sessions are processes; the others are threads or kinds of their own
            with contextlib.suppress(psutil.Error):
                processes += process.children(recursive=True)
        seconds = self._random.uniform(*(_DISPATCHER_FREEZE_S if kind == "dispatcher" else _FREEZE_S))
        timer = threading.Timer(seconds, self._wake, (number,))
        timer.daemon = True
        with self._lock:
            self._frozen[number] = (processes, timer)
        hit = [_signal(one, signal.SIGSTOP) for one in processes]
        timer.start()
        return hit[0]

    def _wake(self, number: int) -> None:
        with self._lock:
            processes, timer = self._frozen.pop(number, ([], None))
        if timer is not None:
            timer.cancel()
        for process in processes:
            _signal(process, signal.SIGCONT)


def _signal(process: psutil.Process, number: signal.Signals) -> bool:
    """psutil refuses when the pid belongs to another process by now."""
    try:
        process.send_signal(number)
    except psutil.Error:
        return False
    return True


def _flush(state: StackState) -> bool:
    """Valkey forgets everything: the queues, what workers had reserved, everything."""
    if state.endpoints.valkey is None:
        return False
    with contextlib.closing(redis.Redis.from_url(state.endpoints.valkey, socket_timeout=2)) as client:
        try:
            client.flushall()
        except redis.RedisError:
            return False
    return True
