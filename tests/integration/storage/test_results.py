"""Result tables on a real Postgres: the first writer wins, a batch is stored whole or not at all."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from services.errors import ConfigurationError, DeadLetterReason, PermanentError
from services.storage import BatchBoard, Database, ResultStore
from tests.integration.servers import Deployment


@pytest.fixture
def database(deployment: Deployment) -> Iterator[Database]:
    with deployment.database(size=8) as made:
        yield made


@pytest.fixture
def store(database: Database) -> ResultStore:
    return ResultStore(database, "toy_answer")


def row(identity: str | None = None, **changes: Any) -> dict[str, Any]:
    """A row as a worker writes it."""
    return {
        "decision_id": identity or str(uuid.uuid4()),
        "content_hash": "00ff",
        "tenant": "default",
        "event_id": "e-1",
        "input_partition": 2,
        "input_offset": 41,
        "received_at": 1_764_000_000.5,
        "decided_at": 1_764_000_001.25,
        "output_key": "author",
        "data": {"toy_id": "1", "length": 5},
        **changes,
    }


def save(store: ResultStore, *rows: dict[str, Any], batch: str | None = None, rejects: str = "[]") -> str:
    batch = batch or str(uuid.uuid4())
    store.store(batch, json.dumps(rows), rejects)
    return batch


def test_a_row_comes_back_as_it_was_stored(store: ResultStore) -> None:
    one = row()
    save(store, one)
    found = store.read([one["decision_id"], str(uuid.uuid4())])
    assert list(found) == [one["decision_id"]]
    stored = found[one["decision_id"]]
    assert (stored.content_hash, stored.tenant, stored.output_key) == ("00ff", "default", "author")
    assert (stored.input_partition, stored.input_offset) == (2, 41)
    assert stored.decided_at == "2025-11-24T16:00:01.250Z"
    assert json.loads(stored.data) == {"toy_id": "1", "length": 5}


def test_i3_the_first_writer_of_an_id_wins(store: ResultStore) -> None:
    one = row(data={"length": 1})
    save(store, one)
    save(store, row(one["decision_id"], data={"length": 2}, content_hash="11"), row())
    assert json.loads(store.read([one["decision_id"]])[one["decision_id"]].data) == {"length": 1}


def test_i3_two_workers_on_the_same_batch_leave_one_row_each_and_one_content(store: ResultStore) -> None:
    ids = [str(uuid.uuid4()) for _ in range(64)]
    start = threading.Barrier(4)

    def work(worker: int) -> None:
        rows = [row(identity, data={"worker": worker}) for identity in ids]
        random.Random(worker).shuffle(rows)  # overlapping batches in different orders deadlock without the sort
        start.wait()
        for _ in range(5):
            save(store, *rows)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read(ids)
    assert set(found) == set(ids)
    assert len({one.data for one in found.values()}) == 1  # the statement that came first wrote them all


def test_i3_the_same_row_gives_the_same_bytes_every_time(store: ResultStore) -> None:
    one = row(data={"b": 1.50, "a": "é", "nested": {"z": None, "y": [1e-7, 0.1]}})
    save(store, one)
    assert len({store.read([one["decision_id"]])[one["decision_id"]].data for _ in range(3)}) == 1


def test_i2_rows_and_marker_are_stored_together_or_not_at_all(store: ResultStore, database: Database) -> None:
    good, bad = row(), row(received_at=1e300)
    batch = str(uuid.uuid4())
    with pytest.raises(PermanentError):
        save(store, good, bad, batch=batch)
    assert store.read([good["decision_id"]]) == {}
    assert BatchBoard(database).finished([batch]) == []


@pytest.mark.parametrize(
    "changes",
    [{"received_at": 1e300}, {"data": "a\0b"}, {"input_offset": 2**70}, {"tenant": None}, {"decision_id": "no uuid"}],
)
def test_a_value_that_no_column_can_hold_is_permanent_and_not_quoted(
    store: ResultStore, changes: dict[str, Any]
) -> None:
    with pytest.raises(PermanentError) as caught:
        save(store, row(event_id="SECRET", **changes))
    assert caught.value.reason is DeadLetterReason.INTERNAL
    assert "SECRET" not in str(caught.value)


def test_kept_rows_leave_no_marker(store: ResultStore, database: Database) -> None:
    one = row()
    store.keep(json.dumps([one]))
    store.keep("[]")
    assert store.existing([one["decision_id"], str(uuid.uuid4())]) == {one["decision_id"]}
    with database.cursor("test") as cursor:
        cursor.execute("SELECT count(*) FROM batch_done")
        assert cursor.fetchone() == (0,)


def test_a_table_that_is_missing_is_a_wrong_deployment(database: Database) -> None:
    with pytest.raises(ConfigurationError, match="run the migrations"):
        ResultStore(database, "no_such_table").existing([str(uuid.uuid4())])


# --- markers ---------------------------------------------------------------------------------------------------------


def test_a_marker_says_what_came_of_its_batch(store: ResultStore, database: Database) -> None:
    board = BatchBoard(database)
    batch = save(store, row(), rejects='[[3, "model_error", "it raised"]]')
    (marker,) = board.finished([batch, str(uuid.uuid4())])
    assert (marker.batch_id, marker.outcome, marker.rejects) == (batch, "done", [(3, "model_error", "it raised")])
    assert board.finished([]) == []


def test_a_batch_that_is_done_stays_done(store: ResultStore, database: Database) -> None:
    board = BatchBoard(database)
    batch = save(store, row())
    board.give_up(batch, "retry", "too late")
    assert board.finished([batch])[0].outcome == "done"


def test_a_batch_that_was_handed_back_can_still_be_done(store: ResultStore, database: Database) -> None:
    board = BatchBoard(database)
    batch = str(uuid.uuid4())
    board.give_up(batch, "retry", "x" * 5000)
    (marker,) = board.finished([batch])
    assert (marker.outcome, len(marker.detail)) == ("retry", 1000)
    save(store, row(), batch=batch)
    assert board.finished([batch])[0].outcome == "done"


def test_a_sign_of_life_is_the_latest_one_and_only_while_it_is_fresh(database: Database) -> None:
    board = BatchBoard(database)
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    board.beat("w-1", [one, other], None)
    board.beat("w-1", [other], "Triton")
    board.beat("w-2", [], None)
    signs = {sign.worker: sign for sign in board.signs(fresh_s=600)}
    assert signs["w-1"].running == {other}
    assert signs["w-1"].problem == "Triton"
    board.leave("w-2")
    assert [sign.worker for sign in board.signs(fresh_s=600)] == ["w-1"]
    assert board.signs(fresh_s=0) == []


def test_a_start_is_remembered(database: Database) -> None:
    board = BatchBoard(database)
    batch = str(uuid.uuid4())
    assert not board.was_started(batch)
    board.started(batch, "w-1")
    board.started(batch, "w-2")
    assert board.was_started(batch)


def test_the_sweep_removes_what_is_old_and_nothing_else(store: ResultStore, database: Database) -> None:
    board = BatchBoard(database)
    old, new = save(store, row()), save(store, row())
    board.started(old, "w-1")
    board.beat("w-1", [], None)
    with database.cursor("test") as cursor:
        cursor.execute("UPDATE batch_done SET finished_at = now() - interval '1 hour' WHERE batch_id = %s", (old,))
        cursor.execute("UPDATE batch_started SET started_at = now() - interval '1 hour'")
    board.sweep()
    assert [marker.batch_id for marker in board.finished([old, new])] == [new]
    assert not board.was_started(old)
    assert len(board.signs(fresh_s=600)) == 1
