"""Batches: full by count, full by bytes, or old enough; and nothing is lost on the way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.dispatcher.batcher import Batcher
from consumers.dispatcher.items import Batch, Item
from services.capabilities import Capability
from services.review.capability import REVIEW
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import item_at, made_ledger


def ids(batches: list[Batch]) -> list[list[str]]:
    return [[item.event_id for item in batch.items] for batch in batches]


@given(st.lists(st.tuples(st.sampled_from([TOY, REVIEW]), st.integers(1, 60)), max_size=50))
def test_every_item_leaves_once_in_order_and_within_the_limits(wanted: list[tuple[Capability, int]]) -> None:
    batcher = Batcher(max_items=4, max_bytes=100, linger_s=1)
    items = [item_at(n, size=size, capability=capability) for n, (capability, size) in enumerate(wanted)]
    batches = [batch for item in items for batch in batcher.add(item, 0)] + batcher.due(0, flush=True)
    assert len(batcher) == 0
    for capability in (TOY, REVIEW):
        taken = [i for b in batches if b.capability is capability for i in b.items]
        assert taken == [i for i in items if i.capability is capability]
    for batch in batches:
        assert {item.capability for item in batch.items} == {batch.capability}
        assert 1 <= len(batch.items) <= 4
        assert len(batch.items) == 1 or sum(item.size_bytes for item in batch.items) <= 100


def test_a_batch_is_full_by_count() -> None:
    batcher = Batcher(max_items=2, max_bytes=1000, linger_s=1)
    one, two = item_at(0), item_at(1)
    assert batcher.add(one, 0) == []
    assert ids(batcher.add(two, 0)) == [[one.event_id, two.event_id]]


def test_an_item_that_does_not_fit_any_more_begins_the_next_batch() -> None:
    batcher = Batcher(max_items=10, max_bytes=100, linger_s=1)
    one, two = item_at(0, size=60), item_at(1, size=60)
    batcher.add(one, 0)
    assert ids(batcher.add(two, 0)) == [[one.event_id]]
    assert len(batcher) == 1


def test_an_item_larger_than_a_batch_becomes_a_batch_of_its_own() -> None:
    batcher = Batcher(max_items=10, max_bytes=100, linger_s=1)
    small, huge = item_at(0, size=10), item_at(1, size=500)
    batcher.add(small, 0)
    assert ids(batcher.add(huge, 0)) == [[small.event_id], [huge.event_id]]


def test_a_batch_is_due_after_its_first_item_has_lingered() -> None:
    batcher = Batcher(max_items=10, max_bytes=1000, linger_s=0.5)
    batcher.add(item_at(0), 100.0)
    batcher.add(item_at(1), 100.4)
    assert batcher.due(100.49) == []
    assert [len(b.items) for b in batcher.due(100.5)] == [2]
    assert batcher.due(200.0) == []


def test_discarded_items_leave_and_the_others_keep_their_place_and_their_age() -> None:
    batcher = Batcher(max_items=10, max_bytes=100, linger_s=0.5)
    gone, stays = made_ledger(0), made_ledger(1)
    items = [item_at(0, ledger=gone, size=80), item_at(1, ledger=stays), item_at(2, ledger=gone, size=0)]
    for item in items:
        batcher.add(item, 7.0)
    assert batcher.discard(lambda item: item.ledger is gone) == [items[0], items[2]]
    assert len(batcher) == 1
    assert batcher.add(item_at(3, ledger=stays, size=80), 7.1) == []  # the room of those that left is free
    assert [batch.items[0] for batch in batcher.due(7.5)] == [items[1]]


def test_discarding_everything_leaves_nothing_open() -> None:
    batcher = Batcher(max_items=10, max_bytes=100, linger_s=0.5)
    item: Item = item_at(0)
    batcher.add(item, 0)
    assert batcher.discard(lambda _: True) == [item]
    assert batcher.due(100, flush=True) == []
