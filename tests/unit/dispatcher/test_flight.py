"""Which batch is where: nothing is lost, nobody is blamed through an outage, and the one bad item is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.dispatcher.flight import MAX_STRIKES_ALONE, Flight
from consumers.dispatcher.items import Batch, Item
from tests.unit.dispatcher.made import batch_of, item_at, made_ledger

DEADLINE_S = 5.0


def sent_one(flight: Flight, now_s: float = 0.0) -> Batch:
    """Take the next batch and send it."""
    batch = flight.next_to_send(now_s)
    assert batch is not None
    flight.sent(batch, 0)
    return batch


class FlightMachine(RuleBasedStateMachine):
    """Anything that can happen to batches, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.flight = Flight(DEADLINE_S)
        self.now = 0.0
        self.added: list[Item] = []
        self.back: list[Item] = []
        self.alone_runs: Counter[str] = Counter()
        self.out: dict[str, Batch] = {}

    @rule(count=st.integers(1, 20))
    def add(self, count: int) -> None:
        batch = batch_of(count)
        self.added += batch.items
        self.flight.add(batch)

    @rule(seconds=st.floats(0, 4))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(reaches_the_broker=st.booleans(), join=st.integers(0, 4))
    def send(self, reaches_the_broker: bool, join: int) -> None:  # noqa: FBT001 - hypothesis gives it by name
        batch = self.flight.next_to_send(self.now, join=join)
        if batch is None:
            return
        if not reaches_the_broker:
            self.flight.put_back(batch)
            return
        self.flight.sent(batch, 0)
        self.out[batch.id] = batch
        if batch.alone and len(batch.items) == 1:
            self.alone_runs[batch.items[0].event_id] += 1

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        batch_id = data.draw(st.sampled_from(sorted(self.out)))
        batch = self.flight.finished(batch_id, self.now)
        assert batch is self.out.pop(batch_id)
        self.back += batch.items

    @precondition(lambda self: self.out)
    @rule(data=st.data(), through_outage=st.booleans())
    def hand_back(self, data: st.DataObject, through_outage: bool) -> None:  # noqa: FBT001
        batch_id = data.draw(st.sampled_from(sorted(self.out)))
        batch = self.flight.finished(batch_id, self.now)
        assert batch is self.out.pop(batch_id)
        self._again_or_strike(batch, through_outage=through_outage)

    @rule(data=st.data(), through_outage=st.booleans())
    def lose(self, data: st.DataObject, through_outage: bool) -> None:  # noqa: FBT001
        running = data.draw(st.sets(st.sampled_from(sorted(self.out)))) if self.out else set()
        for batch in self.flight.lost(self.now, running):
            assert batch.id not in running
            del self.out[batch.id]
            self._again_or_strike(batch, through_outage=through_outage)

    @rule(data=st.data())
    def lose_the_brokers_queues(self, data: st.DataObject) -> None:
        running = data.draw(st.sets(st.sampled_from(sorted(self.out)))) if self.out else set()
        gone = self.flight.lost_with_broker(running)
        assert {batch.id for batch in gone} == self.out.keys() - running
        for batch in gone:
            del self.out[batch.id]
            self._again_or_strike(batch, through_outage=True)

    def _again_or_strike(self, batch: Batch, *, through_outage: bool) -> None:
        if through_outage:
            self.flight.again(batch, self.now + 1)
        else:
            given_up = self.flight.strike(batch, self.now + 1)
            assert all(self.alone_runs[item.event_id] >= MAX_STRIKES_ALONE for item in given_up)
            self.back += given_up

    @invariant()
    def the_counts_are_right(self) -> None:
        assert self.flight.out == len(self.out)
        assert sorted(self.flight.sent_ids()) == sorted(self.out)

    @invariant()
    def one_suspect_at_a_time(self) -> None:
        assert sum(batch.alone for batch in self.out.values()) <= 1

    def teardown(self) -> None:
        """Everything comes back in the end, and exactly once."""
        for batch_id in list(self.out):
            batch = self.flight.finished(batch_id, self.now)
            assert batch is not None
            self.back += batch.items
        while (batch := self.flight.next_to_send(self.now + 1000)) is not None:
            self.flight.sent(batch, 0)
            assert self.flight.finished(batch.id, self.now) is batch
            self.back += batch.items
        assert sorted(i.event_id for i in self.back) == sorted(i.event_id for i in self.added)
        assert self.flight.waiting == 0
        assert self.flight.out == 0


TestEveryItemComesBackExactlyOnce = FlightMachine.TestCase
TestEveryItemComesBackExactlyOnce.settings = settings(max_examples=60, stateful_step_count=50)


@given(st.integers(1, 200), st.data())
def test_the_item_that_kills_its_process_is_found_and_its_neighbours_are_decided(
    count: int, data: st.DataObject
) -> None:
    flight = Flight(DEADLINE_S)
    batch = batch_of(count)
    flight.add(batch)
    poison = data.draw(st.sampled_from(batch.items))
    decided: list[Item] = []
    given_up: list[Item] = []
    crashes = 0
    while (out := flight.next_to_send(crashes * 10.0)) is not None:
        flight.sent(out, 0)
        flight.finished(out.id, 0)
        if poison in out.items:
            crashes += 1
            given_up += flight.strike(out, 0)
        else:
            decided += out.items
    assert given_up == [poison]
    assert len(decided) == count - 1
    assert crashes <= 8  # twice whole, at most three rounds of eighths, three times alone


@given(st.integers(1, 100))
def test_i6_a_batch_that_is_lost_through_outages_is_never_blamed(times: int) -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(3))
    now = 0.0
    for _ in range(times):
        batch = sent_one(flight, now)
        assert not batch.alone
        assert flight.lost(now, ()) == []
        now += DEADLINE_S + 0.1
        assert flight.lost(now, ()) == [batch]
        flight.again(batch, now)
    assert sent_one(flight, now).strikes == 0


def test_i6_a_long_queue_is_not_mistaken_for_a_loss() -> None:
    flight = Flight(DEADLINE_S)
    for _ in range(3):
        flight.add(batch_of(1))
    first, second, third = (sent_one(flight) for _ in range(3))
    assert flight.lost(0, {first.id}) == []
    assert flight.lost(100, {first.id}) == []
    assert flight.lost(1000, {first.id}) == []  # the first runs and runs; the others wait behind it
    flight.finished(first.id, 1000)
    assert flight.lost(1000, {second.id}) == []
    assert flight.lost(1000 + DEADLINE_S + 1, {second.id, third.id}) == []


def test_a_batch_that_a_younger_one_overtook_is_lost_after_the_deadline() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(1))
    flight.add(batch_of(1))
    older, younger = sent_one(flight), sent_one(flight)
    flight.finished(younger.id, 50)
    assert flight.lost(50 + DEADLINE_S, ()) == []
    assert flight.lost(50.1 + DEADLINE_S, ()) == [older]


def test_a_batch_that_stopped_running_is_lost_one_deadline_later() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(1))
    batch = sent_one(flight)
    assert flight.lost(40, {batch.id}) == []
    assert flight.lost(40 + DEADLINE_S, ()) == []
    assert flight.lost(40.1 + DEADLINE_S, ()) == [batch]


def test_what_the_broker_lost_is_taken_out_at_once_but_for_what_runs() -> None:
    flight = Flight(DEADLINE_S)
    for _ in range(3):
        flight.add(batch_of(1))
    first, second, third = (sent_one(flight) for _ in range(3))
    assert flight.lost_with_broker({second.id}) == [first, third]
    assert flight.sent_ids() == [second.id]
    assert flight.finished(second.id, 0) is second


def test_capabilities_do_not_overtake_each_other() -> None:
    flight = Flight(DEADLINE_S)
    one, other = batch_of(1), batch_of(1)
    other.capability = one.items[0].capability.__class__(
        "other", one.capability.input, one.capability.output, "x:y", "other", one.capability.migrations
    )
    flight.add(one)
    flight.add(other)
    sent_one(flight)
    sent_one(flight)
    flight.finished(other.id, 0)
    assert flight.lost(0, ()) == []
    assert one.due_since_s == 0  # as the oldest of its queue, not because it was overtaken


def test_waiting_batches_are_joined_in_their_order_and_no_more_than_wanted() -> None:
    flight = Flight(DEADLINE_S)
    batches = [batch_of(3) for _ in range(4)]
    wanted = [item for batch in batches[:3] for item in batch.items]
    for batch in batches:
        flight.add(batch)
    joined = flight.next_to_send(0, join=3)
    assert joined is batches[0]
    assert joined.items == wanted
    assert flight.next_to_send(0, join=3) is batches[3]


def test_a_joined_batch_stays_within_its_limits_of_items_and_bytes() -> None:
    flight = Flight(DEADLINE_S)
    large = batch_of(0, items=[item_at(0, size=131_000)])
    for batch in (batch_of(200), batch_of(60), large):
        flight.add(batch)
    sizes = []
    while (joined := flight.next_to_send(0, join=4)) is not None:
        sizes.append(len(joined.items))
    assert sizes == [200, 60, 1]


def test_what_was_struck_or_is_of_another_capability_is_not_joined() -> None:
    flight = Flight(DEADLINE_S)
    struck, other = batch_of(1, strikes=1), batch_of(1)
    other.capability = replace(other.capability, name="other")
    for batch in (batch_of(1), struck, batch_of(1), other):
        flight.add(batch)
    for _ in range(4):
        joined = flight.next_to_send(0, join=4)
        assert joined is not None
        assert len(joined.items) == 1


def test_each_dispatch_has_an_id_of_its_own() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(1))
    seen = set()
    for _ in range(5):
        batch = sent_one(flight, 1000.0)
        seen.add(batch.id)
        flight.finished(batch.id, 0)
        flight.again(batch, 0)
    assert len(seen) == 5


def test_a_marker_of_an_earlier_dispatch_finishes_nothing() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(1))
    batch = sent_one(flight)
    earlier = batch.id
    flight.finished(earlier, 0)
    flight.again(batch, 0)
    sent_one(flight, 1)
    assert flight.finished(earlier, 1) is None
    assert flight.peek(earlier) is None
    assert flight.peek(batch.id) is batch


def test_a_struck_batch_waits_before_it_is_sent_again() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(2))
    batch = sent_one(flight)
    flight.finished(batch.id, 0)
    flight.strike(batch, due_s=10)
    assert flight.next_to_send(9.9) is None
    assert flight.next_to_send(10) is batch


def test_a_batch_that_was_struck_twice_is_cut_into_eighths_that_run_alone() -> None:
    flight = Flight(DEADLINE_S)
    flight.add(batch_of(64))
    for _ in range(2):
        batch = sent_one(flight, 1000)
        flight.finished(batch.id, 0)
        flight.strike(batch, 0)
    assert flight.suspects == 8
    part = sent_one(flight)
    assert part.alone
    assert len(part.items) == 8
    assert flight.next_to_send(1000) is None  # nobody else's turn while it is out


@pytest.mark.parametrize("where", ["ready", "delayed", "suspects"])
def test_items_of_a_revoked_partition_leave_wherever_they_wait(where: str) -> None:
    gone, stays = made_ledger(), made_ledger()
    batch = batch_of(0)
    batch.items = [item_at(0, ledger=gone), item_at(0, ledger=stays), item_at(1, ledger=gone)]
    flight = Flight(DEADLINE_S)
    if where == "ready":
        flight.add(batch)
    elif where == "delayed":
        flight.again(batch, 0)
    else:
        batch.strikes = 1
        flight.strike(batch, 0)
    removed = flight.discard(lambda item: item.ledger is gone)
    assert [item.ledger for item in removed] == [gone, gone]
    assert flight.waiting == 1
    assert [item.ledger for item in sent_one(flight, 1).items] == [stays]
    assert flight.discard(lambda _: True) == []  # what is sent comes back by itself


def test_a_suspect_that_could_not_be_sent_is_the_next_one_again() -> None:
    flight = Flight(DEADLINE_S)
    batch = batch_of(1, strikes=1)
    flight.strike(batch, 0)
    assert flight.next_to_send(0) is batch
    flight.put_back(batch)
    assert flight.next_to_send(0) is batch
