"""How much one process lets into a model server at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from services.inference.load import LoadLimit

pytestmark = pytest.mark.timeout(30)


class Guests:
    """Requests on threads of their own, each of which stays until it is told to leave."""

    def __init__(self, limit: LoadLimit) -> None:
        self._limit = limit
        self._pool = ThreadPoolExecutor(8)
        self.inside: list[str] = []
        self._leave: dict[str, threading.Event] = {}

    def come(self, name: str, size: int) -> Future[None]:
        self._leave[name] = threading.Event()

        def stay() -> None:
            with self._limit.entered(size):
                self.inside.append(name)
                self._leave[name].wait()
                self.inside.remove(name)

        return self._pool.submit(stay)

    def go(self, *names: str) -> None:
        for name in names:
            self._leave[name].set()

    def end(self) -> None:
        self.go(*self._leave)
        self._pool.shutdown()


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.002)


def test_requests_enter_while_they_fit_and_wait_in_their_order() -> None:
    guests = Guests(LoadLimit(100))
    guests.come("a", 60)
    until(lambda: guests.inside == ["a"])
    guests.come("large", 80)
    time.sleep(0.05)
    guests.come("small", 10)  # would fit, and must not pass
    time.sleep(0.05)
    assert guests.inside == ["a"]
    guests.go("a")
    until(lambda: sorted(guests.inside) == ["large", "small"])
    guests.end()


def test_one_that_is_larger_than_the_limit_is_alone() -> None:
    guests = Guests(LoadLimit(100))
    guests.come("a", 10)
    until(lambda: guests.inside == ["a"])
    guests.come("huge", 500)
    time.sleep(0.05)
    assert guests.inside == ["a"]
    guests.go("a")
    until(lambda: guests.inside == ["huge"])
    guests.come("b", 1)
    time.sleep(0.05)
    assert guests.inside == ["huge"]
    guests.go("huge")
    until(lambda: guests.inside == ["b"])
    guests.end()


def test_an_error_inside_leaves_the_room_free() -> None:
    limit = LoadLimit(1)
    with pytest.raises(ValueError, match="within"), limit.entered(1):
        raise ValueError("within")
    with limit.entered(1):
        pass
