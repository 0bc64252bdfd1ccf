"""Dead letters: the row first, then the record, then the settlement (I2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from kafka import KafkaProducer
from kafka.errors import MessageSizeTooLargeError

from consumers.dispatcher.dead_letter_desk import DeadLetterDesk
from consumers.dispatcher.dead_letter_limit import DeadLetterLimit
from consumers.dispatcher.items import Refusal
from services.errors import DeadLetterReason, TransientError
from services.messaging import PartitionLedger
from services.storage import DeadLetter, DeadLetterStore
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import MadeRecord, made_ledger


class Store:
    """The table, which may be away."""

    def __init__(self) -> None:
        self.away = False
        self.letters: list[DeadLetter] = []

    def add(self, letters: Sequence[DeadLetter]) -> None:
        if self.away:
            raise TransientError("Postgres: it is away")
        self.letters += letters


class Producer:
    """Acknowledges at once what fits into `limit` bytes, or nothing while `silent`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.silent = False
        self.limit = 10_000
        self.sent: list[tuple[bytes | None, bytes | None, dict[str, bytes]]] = []

    def send(self, topic: str, value: bytes | None, key: bytes | None, headers: Any, partition: Any) -> Any:
        assert topic == "eu.toy.requested.dlq"
        if len(value or b"") + len(key or b"") + sum(len(content) for _, content in headers) > self.limit:
            raise MessageSizeTooLargeError
        self.sent.append((value, key, dict(headers)))
        done = not self.silent
        return type("F", (), {"is_done": done, "succeeded": lambda _: True, "value": type("M", (), {"offset": 0})})()


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def producer(store: Store) -> Producer:
    return Producer(store)


@pytest.fixture
def desk(store: Store, producer: Producer) -> DeadLetterDesk:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=3)
    return DeadLetterDesk(cast("DeadLetterStore", store), cast("KafkaProducer", producer), limit, "eu.")


def refusal(
    offset: int = 0,
    *,
    ledger: PartitionLedger | None = None,
    reason: DeadLetterReason = DeadLetterReason.NOT_JSON,
    **record: Any,
) -> Refusal:
    made = MadeRecord(offset, **{"value": b"not json", "headers": [("trace", b"1")], **record})
    return Refusal(TOY, ledger or made_ledger(), made, reason, "not JSON at byte 0", "e-1", 8)


def test_i2_a_letter_is_done_when_its_row_and_its_record_exist(
    desk: DeadLetterDesk, store: Store, producer: Producer
) -> None:
    letter = refusal()
    desk.add(letter)
    assert list(desk.acknowledged(0)) == []
    desk.flush(0)
    assert [(row.value, row.reason, row.event_id) for row in store.letters] == [(b"not json", "not_json", "e-1")]
    assert list(desk.acknowledged(0)) == [letter]
    assert len(desk) == 0


def test_i2_no_record_is_sent_before_its_row_is_durable(desk: DeadLetterDesk, store: Store, producer: Producer) -> None:
    store.away = True
    desk.add(refusal())
    with pytest.raises(TransientError):
        desk.flush(0)
    assert producer.sent == []
    assert list(desk.acknowledged(0)) == []
    store.away = False
    desk.flush(1)
    assert len(producer.sent) == len(store.letters) == 1


def test_i2_a_row_alone_settles_nothing(desk: DeadLetterDesk, store: Store, producer: Producer) -> None:
    producer.silent = True
    desk.add(refusal())
    desk.flush(0)
    assert len(store.letters) == 1
    assert list(desk.acknowledged(0)) == []
    assert len(desk) == 1


def test_the_record_is_the_original_with_the_facts(desk: DeadLetterDesk, producer: Producer) -> None:
    desk.add(refusal(41, key=b"k", value=b"\xff\x00"))
    desk.flush(0)
    value, key, headers = producer.sent[0]
    assert (value, key, headers["trace"]) == (b"\xff\x00", b"k", b"1")
    assert headers["dlq-reason"] == b"not_json"
    assert headers["dlq-error"] == b"not JSON at byte 0"
    assert (headers["dlq-topic"], headers["dlq-partition"], headers["dlq-offset"]) == (b"toy.requested", b"0", b"41")


def test_the_same_record_gives_the_same_row_however_often_it_comes(desk: DeadLetterDesk, store: Store) -> None:
    desk.add(refusal(41))
    desk.add(refusal(41))
    desk.add(refusal(42))
    desk.flush(0)
    assert len({row.id for row in store.letters}) == 2


@pytest.mark.parametrize(
    ("record", "left_out"),
    [
        ({"value": b"v" * 20_000}, "value"),
        ({"headers": [("h", b"h" * 20_000)]}, "headers"),
        ({"key": b"k" * 20_000}, "key"),
        ({"value": b"v" * 20_000, "headers": [("h", b"h" * 20_000)], "key": b"k" * 20_000}, "all of it"),
    ],
)
def test_a_letter_that_does_not_fit_its_topic_leaves_out_what_does_not_fit(
    desk: DeadLetterDesk, store: Store, producer: Producer, record: dict[str, Any], left_out: str
) -> None:
    letter = refusal(**record)
    desk.add(letter)
    done: list[Refusal] = []
    for now in range(5):
        desk.flush(now)
        done += desk.acknowledged(now)
    assert done == [letter]
    value, key, headers = producer.sent[0]
    assert value is None
    assert headers["dlq-value-omitted"] == str(len(letter.record.value or b"")).encode()
    assert ("h" in headers) is False
    assert key == (b"" if left_out in {"key", "all of it"} else b"author")
    assert store.letters[0].value == letter.record.value  # the row has it all
    assert store.letters[0].headers == tuple(letter.record.headers)


def test_after_the_limit_nothing_more_is_dead_lettered(desk: DeadLetterDesk, store: Store, producer: Producer) -> None:
    for offset in range(2):
        desk.add(refusal(offset, reason=DeadLetterReason.INTERNAL))
    desk.flush(0)
    halted_early = desk.halted
    assert halted_early is None
    for offset in range(2, 10):
        desk.add(refusal(offset, reason=DeadLetterReason.INTERNAL))
    desk.flush(1)
    assert desk.halted == "3 accepted messages in a row failed, the last for internal"
    assert len(store.letters) == len(producer.sent) == 2
    assert len(list(desk.acknowledged(1))) == 2
    assert len(desk) == 8


def test_letters_of_a_revoked_partition_are_left_to_its_next_owner(desk: DeadLetterDesk, store: Store) -> None:
    ledger = made_ledger()
    gone, stays = refusal(0, ledger=ledger), refusal(1)
    desk.add(gone)
    desk.add(stays)
    ledger.close()
    assert desk.discard(lambda r: r.ledger.closed) == [gone]
    desk.flush(0)
    assert list(desk.acknowledged(0)) == [stays]
    assert [row.offset for row in store.letters] == [1]
