"""What a worker does with one batch: skip what is decided, run the pipeline, store rows and marker in one statement.

Promises: it always ends within its patience plus the timeouts of its calls; whatever happens it leaves a marker, or, if even
Postgres is away, nothing, and then the dispatcher sends the batch again. It never dead-letters by itself: it reports rejects,
because only the dispatcher holds the original bytes. It knows no capability by name.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import orjson

from services.capabilities import Capability, Outcome, Pipeline, Rejection, Result, WorkItem
from services.errors import ConfigurationError, CrashSuspected, DeadLetterReason, PermanentError, TransientError
from services.inference import run_bisecting
from services.telemetry import get_logger, metrics

if TYPE_CHECKING:
    from consumers.work_order import OrderedItem, WorkOrder
    from services.storage import BatchBoard, ResultStore

__all__ = ["BatchRunner", "Station"]

T = TypeVar("T")

_log = get_logger(__name__)

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Station:
    """What one capability needs in this process."""

    capability: Capability
    pipeline: Pipeline
    store: ResultStore
    #: Runs a harmless inference on each of the capability's models; raises when one is dead.
    probe: Callable[[], None]


@dataclass(slots=True)
class _Progress:
    """What the heartbeat says of a running batch."""

    started: float = field(default_factory=time.monotonic)
    waits_for: str | None = None
    needs_models: bool = False


class BatchRunner:
    """Runs batches for all threads of a worker process."""

    def __init__(
        self,
        stations: dict[str, Station],
        board: BatchBoard,
        worker: str,
        patience_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stations = stations
        self._board = board
        self._worker = worker
        self._patience_s = patience_s
        self._sleep = sleep
        self._running: dict[str, _Progress] = {}
        self._crash_seen = False

    def running(self) -> dict[str, str | None]:
        """Batches that run now → the dependency each waits for, or None. For the heartbeat."""
        return {batch_id: progress.waits_for for batch_id, progress in list(self._running.items())}

    def longest_run_s(self) -> float:
        """Age of the oldest running batch."""
        now = time.monotonic()
        return max((now - p.started for p in list(self._running.values())), default=0.0)

    def longest_inference_s(self) -> float:
        """Age of the oldest running batch whose capability has models."""
        now = time.monotonic()
        return max((now - p.started for p in list(self._running.values()) if p.needs_models), default=0.0)

    def run(self, order: WorkOrder) -> str:
        """Run one batch to one of the outcomes of `batch_done`, and return it."""
        progress = self._running[order.batch_id] = _Progress()
        outcome = "lost"
        try:
            outcome, detail = self._attempt(order, progress)
            if outcome != "done":
                _log.warning("batch handed back", batch_id=order.batch_id, outcome=outcome, detail=detail)
                self._board.give_up(order.batch_id, outcome, detail)
        except TransientError as error:
            _log.warning("batch left without a marker", batch_id=order.batch_id, detail=str(error))
        except Exception as error:  # noqa: BLE001
            # A bug of ours. Without a marker each of these items would cost three deadlines before it is found.
            outcome = "suspect"
            self._hand_back_unexpected(order, error)
        finally:
            del self._running[order.batch_id]
            metrics.TASK_SECONDS.labels(order.capability, outcome).observe(time.monotonic() - progress.started)
        return outcome

    def _hand_back_unexpected(self, order: WorkOrder, error: Exception) -> None:
        name = type(error).__name__
        place = traceback.extract_tb(error.__traceback__)[-1]
        _log.error(
            "batch run failed", batch_id=order.batch_id, error_class=name, file=place.filename, line=place.lineno
        )
        try:
            self._board.give_up(order.batch_id, "suspect", f"the worker raised {name}")
        except TransientError as problem:
            _log.warning("batch left without a marker", batch_id=order.batch_id, detail=str(problem))

    def _attempt(self, order: WorkOrder, progress: _Progress) -> tuple[str, str]:
        station = self._stations.get(order.capability)
        if station is None:
            return "misconfigured", f"this worker does not run the capability {order.capability!r}"
        progress.needs_models = bool(station.capability.models)
        give_up_at = time.monotonic() + self._patience_s
        try:
            if order.alone:
                self._patiently(lambda: self._preflight(station, order), progress, give_up_at)
            todo, rejects = self._patiently(lambda: self._undecided(station, order), progress, give_up_at)
            outcomes = self._patiently(
                lambda: self._pipeline(station, [item for _, item in todo]), progress, give_up_at
            )
            rows = _rows(order.items, todo, outcomes, rejects)
            # The work is done: storing it may take longer than computing it again would.
            give_up_at = max(give_up_at, time.monotonic() + self._patience_s / 2)
            self._patiently(lambda: _store(station.store, order.batch_id, rows, rejects), progress, give_up_at)
        except CrashSuspected as error:
            return "suspect", str(error)
        except TransientError as error:
            return "retry", str(error)
        except ConfigurationError as error:
            return "misconfigured", str(error)
        return "done", ""

    def _patiently(self, call: Callable[[], T], progress: _Progress, give_up_at: float) -> T:
        """Repeat `call` while a dependency is away, until `give_up_at`; meanwhile the heartbeat says that we wait."""
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                result = call()
            except CrashSuspected:
                raise
            except (TransientError, ConfigurationError) as error:
                progress.waits_for = str(error).split(":", 1)[0][:200]
                if time.monotonic() + wait_s > give_up_at:
                    raise
                self._sleep(wait_s)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                progress.waits_for = None
                return result

    def _preflight(self, station: Station, order: WorkOrder) -> None:
        """Before a suspected batch: is the model well without it? Only then does a crash during the run prove anything."""
        self._probe(station)
        self._board.started(order.batch_id, self._worker)

    def _probe(self, station: Station) -> None:
        try:
            station.probe()
        except CrashSuspected as error:
            raise TransientError(str(error)) from error  # dead before we came
        self._crash_seen = False

    def _undecided(
        self, station: Station, order: WorkOrder
    ) -> tuple[list[tuple[int, WorkItem]], list[tuple[int, str, str]]]:
        """The items to compute, validated, by their place in the batch; and those whose data does not fit its schema."""
        existing = station.store.existing(item.decision_id for item in order.items)
        todo: list[tuple[int, WorkItem]] = []
        rejects: list[tuple[int, str, str]] = []
        seen: set[str] = set(existing)
        for place, item in enumerate(order.items):
            if item.decision_id in seen:  # decided before, or a second copy in this very batch
                continue
            try:
                data = station.capability.input.validate(item.data)
            except PermanentError as error:
                rejects.append((place, error.reason.value, str(error)))
                continue
            except Exception as error:  # noqa: BLE001 - a sender found what a validator did not foresee: this item's fault
                message = f"the data cannot be validated: {type(error).__name__}"
                rejects.append((place, DeadLetterReason.INTERNAL.value, message))
                continue
            seen.add(item.decision_id)
            todo.append((place, WorkItem(item.decision_id, item.event_id, item.tenant, data)))
        return todo, rejects

    def _pipeline(self, station: Station, items: Sequence[WorkItem]) -> list[Outcome]:
        if not items:
            return []
        outcomes = run_bisecting(lambda part: self._guarded(station, part), items)
        return [Rejection(o.reason, str(o)) if isinstance(o, PermanentError) else o for o in outcomes]

    def _guarded(self, station: Station, items: Sequence[WorkItem]) -> Sequence[Outcome]:
        """The pipeline's call, with a bug in it turned into a failure of these items, and a dead server into an outage.

        After a crash was seen, a harmless probe goes first: a server that is still dead says nothing about these texts, and one
        that dies after it passed the probe does.
        """
        if self._crash_seen:
            self._probe(station)
        try:
            outcomes = station.pipeline.run(items)
        except CrashSuspected:
            self._crash_seen = True
            raise
        except (TransientError, PermanentError, ConfigurationError):
            raise
        except MemoryError as error:
            raise TransientError("the worker has no memory left") from error
        except Exception as error:
            # Neither the message nor the values of the traceback are logged: either may quote the text.
            place = traceback.extract_tb(error.__traceback__)[-1]
            name = type(error).__name__
            _log.error(
                "pipeline failed", event_ids=_few(items), error_class=name, file=place.filename, line=place.lineno
            )
            raise PermanentError(DeadLetterReason.INTERNAL, f"the pipeline raised {name}") from error
        if len(outcomes) != len(items):
            raise ConfigurationError(
                f"pipeline {station.capability.name} gave {len(outcomes)} outcomes for {len(items)} items"
            )
        if not all(isinstance(outcome, Result | Rejection) for outcome in outcomes):
            raise ConfigurationError(f"pipeline {station.capability.name} gave something that is no outcome")
        return outcomes


def _few(items: Sequence[WorkItem]) -> list[str]:
    """Event ids, enough to find the others by their batch."""
    return [item.event_id for item in items[:8]]


#: A row as JSON, by the place of its item in the batch.
_Row = tuple[int, bytes]


def _rows(
    ordered: Sequence[OrderedItem],
    todo: Sequence[tuple[int, WorkItem]],
    outcomes: Sequence[Outcome],
    rejects: list[tuple[int, str, str]],
) -> list[_Row]:
    """The rows to store; rejections are appended to `rejects`."""
    now = time.time()
    decided_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    rows: list[_Row] = []
    for (place, work), outcome in zip(todo, outcomes, strict=True):
        if isinstance(outcome, Rejection):
            rejects.append((place, outcome.reason.value, outcome.message))
            continue
        try:
            rows.append((place, _row(ordered[place], work, outcome, now, decided_at)))
        except TypeError:  # orjson's: a number of numpy's, half a surrogate pair, a key that is no text
            rejects.append((place, DeadLetterReason.INTERNAL.value, "the result cannot be written as JSON"))
    return rows


def _row(item: OrderedItem, work: WorkItem, result: Result, now: float, decided_at: str) -> bytes:
    return orjson.dumps(
        {
            "decision_id": work.decision_id,
            "content_hash": item.content_hash,
            "tenant": item.tenant,
            "event_id": item.event_id,
            "input_partition": item.input_partition,
            "input_offset": item.input_offset,
            "received_at": item.received_at,
            "decided_at": now,
            "output_key": item.output_key,
            "data": {
                "decision_id": work.decision_id,
                "event_id": work.event_id,
                "decided_at": decided_at,
                **result.data,
            },
        }
    )


def _store(store: ResultStore, batch_id: str, rows: Sequence[_Row], rejects: list[tuple[int, str, str]]) -> None:
    """Rows and marker in one statement; when Postgres refuses a row, the others first, then the marker that rejects it."""
    try:
        store.store(batch_id, _array(rows), orjson.dumps(rejects).decode())
    except PermanentError:
        kept = run_bisecting(lambda part: _keep(store, part), rows)
        refused = [
            (place, error.reason.value, str(error))
            for (place, _), error in zip(rows, kept, strict=True)
            if isinstance(error, PermanentError)
        ]
        store.store(batch_id, "[]", orjson.dumps(rejects + refused).decode())


def _keep(store: ResultStore, rows: Sequence[_Row]) -> Sequence[None]:
    store.keep(_array(rows))
    return [None] * len(rows)


def _array(rows: Sequence[_Row]) -> str:
    return "[" + ",".join(row.decode() for _, row in rows) + "]"
