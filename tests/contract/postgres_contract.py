"""What dispatcher and worker rely on in Postgres, as tests: the stand-ins and the real part are held to the same.

A class of tests asks for the fixtures `results` and `board`; who inherits it gives them. `away` are two that cannot be reached.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from services.errors import DeadLetterReason, PermanentError, TransientError
from services.storage import BatchBoard, DeadLetter, DeadLetterStore, FinishedBatch, ResultStore, dead_letter_id

__all__ = ["REFUSED", "DispatchersContract", "StorageContract", "WorkersContract", "new_id", "row"]

#: The event id of a row that Postgres does not take.
REFUSED = "e-refused"


def new_id() -> str:
    return str(uuid.uuid4())


def row(decision_id: str, event_id: str = "e-1", **changes: Any) -> dict[str, Any]:
    """As a worker writes it."""
    return {
        "decision_id": decision_id,
        "content_hash": "00ff",
        "tenant": "default",
        "event_id": event_id,
        "input_partition": 2,
        "input_offset": 41,
        "received_at": 1e300 if event_id == REFUSED else 1_764_000_000.5,
        "decided_at": 1_764_000_001.25,
        "output_key": "author",
        "data": {"toy_id": "1", "length": 5},
        **changes,
    }


class StorageContract:
    """What both sides rely on."""

    def test_what_is_stored_exists_and_nothing_else_does(self, results: ResultStore) -> None:
        one, other = new_id(), new_id()
        assert results.existing([one, other]) == results.existing([]) == set()
        results.store(new_id(), json.dumps([row(one)]), "[]")
        assert results.existing([one, other]) == {one}

    def test_the_marker_of_a_stored_batch_is_seen_by_the_next_read(
        self, results: ResultStore, board: BatchBoard
    ) -> None:
        batch = new_id()
        assert board.finished([batch]) == board.finished([]) == []
        for _ in range(2):  # a batch that was sent twice
            results.store(batch, "[]", '[[3, "model_error", "it raised"]]')
        rejects = [(3, "model_error", "it raised")]
        assert board.finished([batch, new_id()]) == [FinishedBatch(batch, "done", rejects, "")]

    def test_a_batch_that_is_done_is_never_handed_back(self, results: ResultStore, board: BatchBoard) -> None:
        batch = new_id()
        results.store(batch, "[]", "[]")
        board.give_up(batch, "retry", "too late")
        assert board.finished([batch]) == [FinishedBatch(batch, "done", [], "")]

    def test_the_first_who_hands_a_batch_back_is_believed_until_somebody_has_done_it(
        self, results: ResultStore, board: BatchBoard
    ) -> None:
        batch = new_id()
        board.give_up(batch, "suspect", "x" * 5000)
        board.give_up(batch, "retry", "later")
        assert board.finished([batch]) == [FinishedBatch(batch, "suspect", [], "x" * 1000)]
        results.store(batch, "[]", "[]")
        assert board.finished([batch]) == [FinishedBatch(batch, "done", [], "")]

    def test_a_start_is_remembered_however_often_it_is_told(self, board: BatchBoard) -> None:
        batch = new_id()
        assert not board.was_started(batch)
        board.started(batch, "w-1")
        board.started(batch, "w-2")
        assert board.was_started(batch)
        assert not board.was_started(new_id())

    def test_a_server_that_is_away_is_transient(self, away: tuple[ResultStore, BatchBoard]) -> None:
        results, board = away
        calls: list[Callable[[], object]] = [
            lambda: results.existing([new_id()]),
            lambda: results.store(new_id(), "[]", "[]"),
            lambda: board.finished([new_id()]),
            lambda: board.give_up(new_id(), "retry", ""),
            lambda: board.started(new_id(), "w-1"),
        ]
        for call in calls:
            with pytest.raises(TransientError, match=r"^Postgres"):
                call()


class WorkersContract(StorageContract):
    """What a worker relies on beside that."""

    def test_kept_rows_exist_once_and_leave_no_marker(self, results: ResultStore) -> None:
        one, other = new_id(), new_id()
        for _ in range(2):
            results.keep(json.dumps([row(one), row(other)]))
        results.keep("[]")
        assert results.existing([one, other]) == {one, other}

    def test_a_batch_with_a_row_that_is_refused_leaves_no_row_and_no_marker(
        self, results: ResultStore, board: BatchBoard
    ) -> None:
        batch, one, other = new_id(), new_id(), new_id()
        rows = json.dumps([row(one), row(other, REFUSED)])
        writes: list[Callable[[], None]] = [lambda: results.store(batch, rows, "[]"), lambda: results.keep(rows)]
        for write in writes:
            with pytest.raises(PermanentError, match=r"^Postgres refuses the data: ") as caught:
                write()
            assert caught.value.reason is DeadLetterReason.INTERNAL
        assert results.existing([one, other]) == set()
        assert board.finished([batch]) == []


class DispatchersContract(StorageContract):
    """What a dispatcher relies on beside that. `letters` takes dead letters, `reasons` says which it has."""

    def test_a_row_is_read_as_it_was_stored_by_its_first_writer(self, results: ResultStore) -> None:
        one = new_id()
        results.store(new_id(), json.dumps([row(one)]), "[]")
        results.store(new_id(), json.dumps([row(one, content_hash="11", input_offset=7, data={})]), "[]")
        found = results.read([one, new_id()])
        assert found == results.read([one])
        stored = found[one]
        assert (stored.decision_id, stored.content_hash, stored.tenant) == (one, "00ff", "default")
        assert (stored.input_partition, stored.input_offset, stored.output_key) == (2, 41, "author")
        assert stored.decided_at == "2025-11-24T16:00:01.250Z"
        assert json.loads(stored.data) == {"toy_id": "1", "length": 5}

    def test_the_latest_sign_of_life_counts_until_the_worker_leaves(self, board: BatchBoard) -> None:
        batch = new_id()
        board.beat("w0", [batch, new_id()], "Triton")
        board.beat("w0", [batch], None)
        assert [(sign.worker, sign.running, sign.problem) for sign in board.signs()] == [
            ("w0", frozenset({batch}), None)
        ]
        board.leave("w0")
        assert board.signs() == []

    def test_the_sweep_leaves_what_is_waited_for(self, results: ResultStore, board: BatchBoard) -> None:
        done, begun = new_id(), new_id()
        results.store(done, "[]", "[]")
        board.started(begun, "w0")
        board.beat("w0", [begun], None)
        board.sweep()
        assert [marker.batch_id for marker in board.finished([done])] == [done]
        assert board.was_started(begun)
        assert [sign.running for sign in board.signs()] == [{begun}]

    def test_a_dead_letter_is_stored_once_with_its_first_reason(
        self, letters: DeadLetterStore, reasons: Callable[[], list[str]]
    ) -> None:
        letters.add([_letter("schema"), _letter("internal")])
        letters.add([_letter("not_json")])
        letters.add([])
        assert reasons() == ["schema"]

    def test_reads_of_a_server_that_is_away_are_transient(self, away: tuple[ResultStore, BatchBoard]) -> None:
        results, board = away
        for call in (lambda: results.read([new_id()]), board.signs, lambda: board.was_started(new_id()), board.sweep):
            with pytest.raises(TransientError, match=r"^Postgres"):
                call()


def _letter(reason: str) -> DeadLetter:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    identity = dead_letter_id("toy.requested", 0, 7, b"v")
    return DeadLetter(
        identity, "toy", "toy.requested", 0, 7, now, b"k", b"v", (("h", b"1"),), reason, "", None, "dispatcher", "1", now
    )  # fmt: skip
