"""The dispatcher's loop, one round at a time, with surroundings that do what the test says: the invariants at their narrowest."""

from __future__ import annotations

import pytest
from kafka.errors import KafkaTimeoutError

from services.errors import DeadLetterReason, TransientError
from services.messaging import KafkaError
from services.storage import FinishedBatch
from tests.unit.dispatcher.scripted import World, toy_value


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.dispatcher.circuits._PAUSE_S", 0.0)
    monkeypatch.setattr("consumers.dispatcher.loop._RETRY_AFTER_S", 0.0)


def events(count: int, start: int = 0) -> list[bytes]:
    return [toy_value(f"e-{n}") for n in range(start, start + count)]


def test_i1_records_that_come_with_the_assignment_are_not_committed_as_the_beginning() -> None:
    world = World()
    world.kafka.log = events(3)  # the first poll both assigns the partition and returns them
    world.until(lambda: world.orders)
    assert world.committed == 0
    world.work(*world.orders)
    world.until(lambda: world.committed == 3)


def test_i1_nothing_is_committed_beyond_the_slowest() -> None:
    world = World(batch_size=1)
    world.kafka.log = events(3)
    world.until(lambda: len(world.orders) == 3)
    world.work(world.orders[1], world.orders[2])
    world.until(lambda: world.kafka.results() == ["e-1", "e-2"])
    world.rounds(5)
    assert world.committed == 0
    world.work(world.orders[0])
    world.until(lambda: world.committed == 3)


def test_i2_a_result_that_is_stored_and_not_acknowledged_settles_nothing() -> None:
    world = World()
    world.kafka.silent_output = True
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.work(*world.orders)
    world.until(lambda: len(world.kafka.results()) == 2)
    world.rounds(5)
    assert world.committed == 0
    world.kafka.acknowledge()
    world.until(lambda: world.committed == 2)


def test_i2_a_marker_without_rows_settles_nothing() -> None:
    world = World()
    world.kafka.log = events(1)
    world.until(lambda: world.orders)
    order = world.orders[0]
    world.postgres.markers[order.batch_id] = FinishedBatch(order.batch_id, "done", [], "")
    world.until(lambda: len(world.orders) == 2)  # sent again
    assert world.committed == 0
    world.work(world.orders[1])
    world.until(lambda: world.committed == 1)


def test_i2_a_dead_letter_settles_after_its_row_and_its_record() -> None:
    world = World()
    world.kafka.log = [b"not json", *events(1)]
    world.postgres.away = True
    world.rounds(5)
    assert world.committed == 0
    assert world.kafka.published == []
    world.postgres.away = False
    world.until(lambda: world.committed == 1)
    assert [letter.value for letter in world.postgres.letters] == [b"not json"]
    assert [(topic, value) for topic, value, _ in world.kafka.published] == [("toy.requested.dlq", b"not json")]


def test_i3_a_dispatcher_that_is_killed_before_its_commit_does_not_publish_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(batch_size=1)
    world.kafka.log = events(3)
    world.until(lambda: len(world.orders) == 3)
    world.work(*world.orders[1:])
    world.until(lambda: world.kafka.results() == ["e-1", "e-2"])
    world.rounds(3)

    published_before = _what_recovery_reads(world)
    monkeypatch.setattr("services.messaging.recovery._read", lambda *_: published_before)
    world.start()
    world.until(lambda: len(world.orders) >= 6)
    world.work(*world.orders)
    world.until(lambda: world.committed == 3)
    assert sorted(world.kafka.results()) == ["e-0", "e-1", "e-2"]


def _what_recovery_reads(world: World) -> object:
    from services.messaging import TopicPartition
    from services.messaging.recovery import _answers, _event_id, _Published

    found = [
        _Published(_event_id(value) or "", offset, _answers(headers))
        for offset, (_, value, headers) in enumerate(world.kafka.published)
    ]
    return {TopicPartition("toy.answered", 0): found}


def test_i4_consumption_pauses_at_the_limit_and_resumes_at_half() -> None:
    world = World(in_flight_messages=8, batch_size=1)
    world.kafka.log = events(8)
    world.until(lambda: len(world.orders) == 8)
    assert world.kafka.paused_now
    world.kafka.log += events(4, start=8)
    world.rounds(3)
    assert len(world.orders) == 8
    world.work(*world.orders[:3])
    world.until(lambda: world.committed == 3)
    world.rounds(3)
    assert world.kafka.paused_now  # five are in flight: not half yet
    world.work(world.orders[3])
    world.until(lambda: not world.kafka.paused_now)
    world.until(lambda: len(world.orders) == 12)


def test_i4_large_messages_pause_it_too() -> None:
    world = World(in_flight_bytes=1024, batch_size=1)
    world.kafka.log = [toy_value("large", "x" * 2000)]
    world.until(lambda: world.orders)
    assert world.kafka.paused_now
    world.work(*world.orders)
    world.until(lambda: not world.kafka.paused_now)


def test_i4_a_partition_that_comes_while_consumption_is_paused_is_paused() -> None:
    world = World(in_flight_messages=2)
    world.kafka.log = events(2)
    world.until(lambda: world.kafka.paused_now)
    world.kafka.will_revoke, world.kafka.will_assign = "revoked", True
    world.kafka.paused_now.clear()  # Kafka forgets the pause with the partition
    world.rounds()
    assert world.kafka.paused_now or world.dispatcher._in_flight.messages < 2


def test_i5_batches_of_a_revoked_partition_settle_to_nothing_and_are_delivered_again() -> None:
    world = World()
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.kafka.will_revoke = "revoked"
    world.rounds()
    world.work(*world.orders)  # it comes back to a dispatcher that does not own it
    world.rounds(5)
    assert world.kafka.results() == []
    assert world.dispatcher._in_flight.messages == 0
    assert world.committed == 0
    world.kafka.will_assign = True
    world.until(lambda: len(world.orders) == 2)
    world.work(world.orders[1])
    world.until(lambda: world.committed == 2)
    assert world.kafka.results() == ["e-0", "e-1"]


def test_i5_results_that_wait_to_be_sent_leave_with_their_partition() -> None:
    world = World()
    world.kafka.log = events(1)
    world.until(lambda: world.orders)
    world.work(*world.orders)
    world.dispatcher._sender._paused_until = float("inf")  # the broker does not take records
    world.until(lambda: len(world.dispatcher._sender) == 1)
    world.kafka.will_revoke = "lost"
    world.rounds()
    assert len(world.dispatcher._sender) == 0
    assert world.dispatcher._in_flight.messages == 0
    assert world.kafka.results() == []


def test_i5_a_send_that_failed_when_its_partition_left_is_not_repeated_from_here() -> None:
    world = World()
    world.kafka.silent_output = True
    world.kafka.log = events(1)
    world.until(lambda: world.orders)
    world.work(*world.orders)
    world.until(lambda: world.kafka.futures)
    world.kafka.futures[0].exception = KafkaTimeoutError()
    world.kafka.acknowledge()
    world.kafka.will_revoke = "lost"
    world.dispatcher._assignment._patience_s = 60.0  # it is not waited for: there is an answer
    world.rounds()
    world.dispatcher._sender._paused_until = 0.0
    world.rounds(5)
    assert len(world.kafka.futures) == 1
    assert world.dispatcher._in_flight.messages == 0


def test_i5_a_send_that_is_under_way_when_its_partition_leaves_ends_the_process() -> None:
    world = World()
    world.kafka.silent_output = True
    world.kafka.log = events(1)
    world.until(lambda: world.orders)
    world.work(*world.orders)
    world.until(lambda: world.kafka.futures)
    world.kafka.will_revoke = "revoked"
    world.dispatcher._assignment._patience_s = 0.02
    with pytest.raises(TransientError, match="under way when their partition was given up"):
        world.rounds()
    assert world.kafka.closed


def test_i6_a_batch_that_is_lost_in_an_outage_is_sent_again_without_blame() -> None:
    world = World(batch_deadline_s=1e-6)
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    for number in range(1, 6):
        world.postgres.away = True
        world.rounds(2)
        world.postgres.away = False
        world.until(lambda n=number: len(world.orders) > n)  # type: ignore[misc]
    assert not any(order.alone for order in world.orders)
    assert {len(order.items) for order in world.orders} == {2}
    assert world.postgres.letters == []


@pytest.mark.parametrize(("away", "whole"), [(False, 2), (True, 3)])
def test_i6_what_is_sent_while_a_part_is_away_may_be_lost_with_it(
    monkeypatch: pytest.MonkeyPatch, *, away: bool, whole: int
) -> None:
    world = World(batch_deadline_s=1e-6)
    world.kafka.log = events(2)
    if away:
        world.dispatcher._circuits.open("kafka-commits", "away")
        monkeypatch.setattr(world.dispatcher._committer, "commit", lambda _: None)
    world.until(lambda: world.orders)
    world.dispatcher._circuits.close("kafka-commits")
    world.until(lambda: any(order.alone for order in world.orders))
    assert [order.alone for order in world.orders].index(True) == whole  # a batch is struck twice


def test_i6_a_broker_that_lost_its_queues_between_two_sends_blames_no_batch() -> None:
    world = World(batch_deadline_s=1e-6)
    world.kafka.log = events(2)
    for number in range(1, 6):
        world.until(lambda n=number: len(world.orders) == n)  # type: ignore[misc]
        world.broker_lost = True
    assert not any(order.alone for order in world.orders)
    assert {len(order.items) for order in world.orders} == {2}


def test_what_a_broker_lost_is_sent_again_at_once_and_without_blame_but_for_what_runs() -> None:
    world = World(batch_size=1)
    world.kafka.log = events(3)
    world.until(lambda: len(world.orders) == 3)
    world.postgres.running = {world.orders[1].batch_id}
    world.rounds(2)
    world.broker_lost = True
    world.rounds(2)  # the deadline of a batch is seconds away
    assert [order.items[0].event_id for order in world.orders[3:]] == ["e-0", "e-2"]
    world.work(*world.orders[1:])
    world.until(lambda: world.committed == 3)
    assert sorted(world.kafka.results()) == ["e-0", "e-1", "e-2"]
    assert not any(order.alone for order in world.orders)


def test_i6_what_is_lost_while_workers_connect_to_the_broker_again_is_not_blamed() -> None:
    world = World(batch_deadline_s=1e-6)
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.broker_lost = True
    world.until(lambda: len(world.orders) == 6)  # each was handed to a dead connection
    assert not any(order.alone for order in world.orders)
    world.dispatcher._broker_settles_at = 0.0
    world.until(lambda: any(order.alone for order in world.orders))


def test_a_message_that_kills_every_worker_is_found_although_nobody_is_there_each_time() -> None:
    world = World(batch_deadline_s=1e-6)
    world.kafka.log = events(4)
    done = 0
    for _ in range(400):
        world.rounds()
        for order in world.orders[done:]:
            done += 1
            if any(item.event_id == "e-2" for item in order.items):
                world.postgres.begun.add(order.batch_id)  # announced, and then it died
                world.postgres.workers = 0
                world.rounds(2)
                assert "workers" in world.health.problems()
                world.postgres.workers = 1
            else:
                world.work(order)
        if world.committed == 4:
            break
    assert world.committed == 4
    assert [letter.event_id for letter in world.postgres.letters] == ["e-2"]
    assert sorted(world.kafka.results()) == ["e-0", "e-1", "e-3"]


def test_a_broker_that_is_away_keeps_batches_waiting_in_order() -> None:
    world = World(batch_size=1)
    world.broker_away = True
    world.kafka.log = events(3)
    world.rounds(5)
    assert world.orders == []
    assert "broker" in world.health.problems()
    world.broker_away = False
    world.dispatcher._circuits.close("broker")
    world.until(lambda: len(world.orders) == 3)
    assert [order.items[0].event_id for order in world.orders] == ["e-0", "e-1", "e-2"]


def test_a_stop_finishes_what_is_in_flight_and_takes_in_nothing_more() -> None:
    world = World()
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.dispatcher.stop()
    world.rounds()
    assert not world.dispatcher._finished()
    world.kafka.log += events(2, start=2)
    world.rounds(3)
    assert len(world.orders) == 1
    world.work(*world.orders)
    world.until(world.dispatcher._finished)
    assert world.kafka.results() == ["e-0", "e-1"]


def test_a_stop_does_not_wait_for_letters_that_the_limit_holds_back() -> None:
    world = World(dead_letter_max_consecutive=1)
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.work(*world.orders, rejects=[(place, DeadLetterReason.INTERNAL.value, "it raises") for place in range(2)])
    world.until(lambda: "dead_letter_limit" in world.health.problems())
    world.dispatcher.stop()
    world.until(world.dispatcher._finished, rounds=3)
    assert world.postgres.letters == []
    assert world.committed == 0  # both are delivered again, to a dispatcher whose deployment is repaired


def test_a_poll_that_fails_is_an_outage_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()

    def fail(timeout_ms: int) -> None:
        raise KafkaError("no brokers")

    with monkeypatch.context() as patch:
        patch.setattr(world.kafka, "poll", fail)
        world.rounds(2)
        assert "kafka" in world.health.problems()
    world.kafka.log = events(1)
    world.until(lambda: world.orders)
    assert "kafka" not in world.health.problems()


def test_a_recovery_that_fails_takes_nothing_in_and_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.kafka.log = events(2)

    def fail(*_: object) -> None:
        raise TransientError("Kafka: recovery: KafkaTimeoutError")

    with monkeypatch.context() as patch:
        patch.setattr("consumers.dispatcher.loop.recover", fail)
        world.rounds(4)
        assert world.orders == []
        assert world.kafka.commits == []
        assert world.dispatcher._in_flight.messages == 0
    world.until(lambda: world.orders)
    assert [item.event_id for item in world.orders[0].items] == ["e-0", "e-1"]


@pytest.mark.parametrize(("session_ms", "poll_ms"), [(10_000, 300_000), (120_000, 10_000)])
def test_a_loop_that_stood_still_longer_than_the_group_may_bear_proves_its_membership_first(
    session_ms: int, poll_ms: int
) -> None:
    """The client leaves the group when the loop has not polled for `max_poll_interval_ms`, however long a session is."""
    world = World(session_timeout_ms=session_ms, max_poll_interval_ms=poll_ms)
    assert world.dispatcher._membership.longest_gap_s == 5.0


def test_a_loop_whose_coordinator_is_silent_publishes_nothing_while_other_brokers_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    world.kafka.log = events(2)
    world.until(lambda: world.orders)
    world.work(*world.orders)
    with monkeypatch.context() as patch:
        patch.setattr(world.dispatcher._committer, "silent_s", lambda _now: 31.0)  # a session is 60 s here
        world.rounds(5)
        assert world.kafka.results() == []
    world.until(lambda: world.kafka.results() == ["e-0", "e-1"])
    assert world.committed == 2
