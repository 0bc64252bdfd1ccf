"""Ends statements on a server that does not answer at all.

`statement_timeout` is the server's own, and a server that is frozen (a stopped process, a stalled disk, a lost virtual machine)
does not run it; its kernel still answers TCP's keepalives, so the client would wait for ever. Promises: a guarded statement ends
within its limit plus half a second, with the driver's error for a broken connection. The connection is lost then.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from services.telemetry import get_logger

__all__ = ["Watchdog"]

_log = get_logger(__name__)

_TICK_S = 0.5


class Watchdog:
    """One daemon thread for all connections of a pool. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guarded: dict[int, tuple[float, psycopg.Connection[Any]]] = {}  # ticket → until when, which
        self._tickets = itertools.count()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="postgres-watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def limit(self, connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
        """For the time of the block, break the connection if it takes longer than `seconds`."""
        ticket = next(self._tickets)
        self._guarded[ticket] = (time.monotonic() + seconds, connection)
        try:
            yield
        finally:
            # Under the lock, so that the connection is not closed, and its descriptor somebody else's, while we break it.
            with self._lock:
                self._guarded.pop(ticket, None)

    def stop(self) -> None:
        """Guard nothing any more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            now = time.monotonic()
            with self._lock:
                overdue = [ticket for ticket, (until, _) in list(self._guarded.items()) if until < now]
                for ticket in overdue:
                    _break(self._guarded.pop(ticket)[1])


def _break(connection: psycopg.Connection[Any]) -> None:
    """Wake whoever waits on this connection's socket. Closing it would not."""
    _log.warning("Postgres does not answer; the connection is broken off")
    with suppress(OSError, psycopg.Error):
        duplicate = socket.socket(fileno=os.dup(connection.fileno()))
        with duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
