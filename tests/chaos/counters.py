"""Prometheus counters of processes that get killed: added up over all their lives.

A counter that is lower than at the last look began again at zero. What a process counted after the last look and before it was
killed is never seen, so a sum is a lower bound.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

from prometheus_client.parser import text_string_to_metric_families

from deploy.embedded import StackState

__all__ = ["Counters", "scrape"]

_TIMEOUT_S = 1.0


class Counters:
    """Looks at every process of the stack that has metrics, when asked to. Thread-safe."""

    def __init__(self, status: Callable[[], StackState | None]) -> None:
        self._status = status
        self._lock = threading.Lock()
        self._look = threading.Lock()  # two looks at once would take the older one for a process that began again
        self._last: dict[tuple[str, str], float] = {}  # (process, series) → value
        self._sums: dict[str, float] = {}

    def look(self) -> None:
        """Take what the processes that answer have counted since the last look."""
        with self._look:
            state = self._status()
            for process in state.processes if state else ():
                if process.metrics is not None and process.name.startswith(("dispatcher", "worker")):
                    found = scrape(process.metrics)
                    with self._lock:
                        for series, value in found.items():
                            self._add(process.name, series, value)

    def _add(self, process: str, series: str, value: float) -> None:
        before = self._last.get((process, series), 0.0)
        self._last[process, series] = value
        self._sums[series] = self._sums.get(series, 0.0) + (value - before if value >= before else value)

    def sum(self, name: str) -> int:
        """Over all labels of the counter `name` (with its `_total`)."""
        with self._lock:
            return round(sum(v for series, v in self._sums.items() if series.partition("{")[0] == name))

    def by_label(self, name: str) -> dict[str, int]:
        """The series of the counter `name`, by their labels."""
        with self._lock:
            found = {series: round(v) for series, v in self._sums.items() if series.startswith(f"{name}{{")}
        return {series[len(name) + 1 : -1]: value for series, value in sorted(found.items()) if value}


def scrape(url: str) -> Mapping[str, float]:
    """All counters at `url`, as `name{label=value,...}`; empty when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            text = response.read().decode()
    except (OSError, urllib.error.URLError, http.client.HTTPException):
        return {}
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        if family.type == "counter":
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
                    found[f"{sample.name}{{{labels}}}"] = sample.value
    return found
