"""The ledger of one partition: what may be committed (I1), and from where a successor must read the output."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.messaging import PartitionLedger, UnknownOffset, Watermark

#: Offsets as Kafka delivers them: increasing, with gaps (compaction and transaction markers leave some).
GAPS = st.lists(st.integers(1, 5), min_size=1, max_size=40)


def ledger(next_offset: int = 0, floor: int = 0, inherited: dict[int, int] | None = None) -> PartitionLedger:
    return PartitionLedger("content.submitted", 3, next_offset, floor, inherited or {})


@st.composite
def delivered_and_settled(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Offsets in the order of delivery, and some or all of them in the order of settlement."""
    offsets: list[int] = []
    for gap in draw(GAPS):
        offsets.append((offsets[-1] if offsets else 10) + gap)
    return offsets, draw(st.permutations(offsets).map(lambda order: order[: draw(st.integers(0, len(order)))]))


@given(delivered_and_settled())
def test_i1_the_watermark_never_passes_the_lowest_unsettled_offset(case: tuple[list[int], list[int]]) -> None:
    offsets, order = case
    book = ledger(10)
    for offset in offsets:
        book.add(offset, 0)
    unsettled = set(offsets)
    for offset in order:
        book.settle(offset)
        unsettled.discard(offset)
        assert book.watermark().offset <= min(unsettled, default=offsets[-1] + 1)


@given(delivered_and_settled())
def test_the_watermark_is_the_end_of_the_settled_prefix(case: tuple[list[int], list[int]]) -> None:
    offsets, order = case
    book = ledger(10)
    for offset in offsets:
        book.add(offset, 0)
    for offset in order:
        book.settle(offset)
    prefix = []
    for offset in offsets:
        if offset not in order:
            break
        prefix.append(offset)
    assert book.watermark().offset == (prefix[-1] + 1 if prefix else 10)
    assert book.pending == len(offsets) - len(prefix)


@given(delivered_and_settled())
def test_the_watermark_never_goes_back(case: tuple[list[int], list[int]]) -> None:
    offsets, order = case
    book = ledger(10)
    marks = [book.watermark().offset]
    waiting = list(offsets)
    for offset in order:
        while waiting and waiting[0] <= offset:  # delivered in order, settled in any
            book.add(waiting.pop(0), 0)
        book.settle(offset)
        marks.append(book.watermark().offset)
    assert marks == sorted(marks)


def test_a_ledger_without_records_may_commit_where_it_began() -> None:
    assert ledger(17, floor=5).watermark() == Watermark(17, 5)


@pytest.mark.parametrize("offset", [9, 11, 13, 15])
def test_an_offset_that_was_never_delivered_cannot_be_settled(offset: int) -> None:
    book = ledger(10)
    for delivered in (10, 12, 14):
        book.add(delivered, 0)
    with pytest.raises(UnknownOffset, match=rf"content.submitted\[3\] offset {offset}"):
        book.settle(offset)


def test_an_offset_cannot_be_settled_twice() -> None:
    book = ledger()
    book.add(0, 0)
    book.add(1, 0)
    book.settle(1)
    with pytest.raises(UnknownOffset):
        book.settle(1)
    book.settle(0)
    book.watermark()
    with pytest.raises(UnknownOffset):
        book.settle(0)


def test_a_closed_ledger_takes_late_settlements_in_silence() -> None:
    book = ledger()
    book.add(0, 0)
    book.close()
    book.settle(0)
    book.settle(99)
    assert book.closed
    assert book.pending == 0


def test_the_oldest_timestamp_is_that_of_the_lowest_unsettled_record() -> None:
    book = ledger()
    book.add(0, 1000)
    book.add(1, 2000)
    assert book.oldest_timestamp_ms == 1000
    book.settle(0)
    book.watermark()
    assert book.oldest_timestamp_ms == 2000
    book.settle(1)
    book.watermark()
    assert book.oldest_timestamp_ms is None


# --- the output floor -------------------------------------------------------------------------------------------------


@dataclass
class Partition:
    """A model of one input partition and its output, across owners that are killed: what a successor has to see."""

    size: int
    outputs: list[int] = field(default_factory=list)  # input offset of each published result, by output offset
    committed: Watermark = field(default_factory=lambda: Watermark(0, 0))

    def take_over(self) -> tuple[PartitionLedger, set[int]]:
        """As `recover` does: read the output from the committed floor on."""
        tail = {source: at for at, source in enumerate(self.outputs) if at >= self.committed.output_floor}
        tail = {source: at for source, at in tail.items() if source >= self.committed.offset}
        book = PartitionLedger("t", 0, self.committed.offset, len(self.outputs), tail)
        for offset in range(self.committed.offset, self.size):
            book.add(offset, 0)
        return book, set(tail)

    def publish(self, source: int) -> int:
        self.outputs.append(source)
        return len(self.outputs) - 1


@given(st.data())
def test_no_result_is_published_twice_however_many_owners_are_killed(data: st.DataObject) -> None:
    partition = Partition(size=data.draw(st.integers(1, 12)))
    for _ in range(data.draw(st.integers(1, 5))):
        book, published = partition.take_over()
        work = data.draw(st.permutations(range(partition.committed.offset, partition.size)))
        sent: list[tuple[int, int]] = []  # published, and the acknowledgement not looked at yet
        for offset in work[: data.draw(st.integers(0, len(work)))]:
            if offset in published:
                book.settle(offset)  # suppressed
            elif data.draw(st.booleans()):
                book.settle(offset)  # a dead letter publishes no result
                continue
            else:
                sent.append((offset, partition.publish(offset)))
            for source, at in sent[: data.draw(st.integers(0, len(sent)))]:  # acknowledged in the order of sends
                book.settle(source, at)
                sent.remove((source, at))
            if data.draw(st.booleans()):
                partition.committed = book.watermark()
    assert len(partition.outputs) == len(set(partition.outputs))


def test_the_floor_stays_below_what_a_predecessor_published_until_it_is_behind_the_watermark() -> None:
    book = ledger(next_offset=10, floor=102, inherited={10: 100, 11: 101})
    for offset in (10, 11, 12):
        book.add(offset, 0)
    book.settle(12, 200)
    assert book.watermark() == Watermark(10, 100)
    book.settle(10)
    assert book.watermark() == Watermark(11, 101)
    book.settle(11)
    assert book.watermark() == Watermark(13, 201)


def test_an_inherited_result_whose_record_is_gone_does_not_hold_the_floor_for_ever() -> None:
    book = ledger(next_offset=10, floor=101, inherited={10: 100})
    book.add(11, 0)  # 10 was deleted by retention
    book.settle(11, 150)
    assert book.watermark() == Watermark(12, 151)


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_the_floor_survives_kafkas_commit_metadata(offset: int, floor: int) -> None:
    assert Watermark.floor_from(Watermark(offset, floor).metadata()) == floor


@pytest.mark.parametrize("metadata", [None, "", "out=", "out=-1", "out=x", "7", "somebody else's"])
def test_metadata_that_is_not_ours_gives_no_floor(metadata: str | None) -> None:
    assert Watermark.floor_from(metadata) is None
