"""What became of each item of a finished batch, and the event that is rendered from its stored row (I3)."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from consumers.dispatcher.items import Batch, Item
from consumers.dispatcher.publisher import Sorted, render, sort_batch
from services.errors import DeadLetterReason
from services.storage import FinishedBatch, StoredResult
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import MadeRecord, item_at, made_ledger, row_of


def sort(items: list[Item], rows: list[StoredResult], rejects: list[tuple[int, str, str]] | None = None) -> Sorted:
    batch = Batch(TOY, items)
    return sort_batch(batch, FinishedBatch(batch.id, "done", rejects or [], ""), {row.decision_id: row for row in rows})


def test_an_item_whose_record_made_the_row_is_published() -> None:
    item = item_at(7)
    row = row_of(item)
    assert sort([item], [row]).to_publish == [(item, row)]


def test_i3_a_second_copy_of_an_event_settles_without_a_second_output_event() -> None:
    first = item_at(7)
    copy = item_at(9, decision_id=first.decision_id)
    result = sort([first, copy], [row_of(first)])
    assert [item for item, _ in result.to_publish] == [first]
    assert result.duplicates == [copy]


def test_i3_a_copy_on_another_partition_with_the_same_offset_is_a_copy() -> None:
    first = item_at(7)
    copy = item_at(7, decision_id=first.decision_id, record=MadeRecord(7, partition=1))
    assert sort([copy], [row_of(first)]).duplicates == [copy]


def test_i3_the_same_id_with_other_content_is_a_dead_letter_of_its_own_kind() -> None:
    first = item_at(7, content_hash="aa")
    impostor = item_at(9, decision_id=first.decision_id, content_hash="bb")
    result = sort([first, impostor], [row_of(first)])
    assert [item for item, _ in result.to_publish] == [first]
    assert [(r.record, r.reason) for r in result.refusals] == [(impostor.record, DeadLetterReason.ID_REUSE)]


def test_the_record_that_was_decided_wins_whichever_came_first() -> None:
    earlier = item_at(7, content_hash="bb")
    decided = item_at(9, decision_id=earlier.decision_id, content_hash="aa")
    result = sort([earlier, decided], [row_of(decided)])
    assert [item for item, _ in result.to_publish] == [decided]
    assert [r.record.offset for r in result.refusals] == [7]


def test_a_rejected_item_becomes_a_dead_letter_with_the_workers_reason() -> None:
    good, bad = item_at(0), item_at(1)
    refusal = sort([good, bad], [row_of(good)], [(1, "model_error", "it raised")]).refusals[0]
    assert (refusal.record, refusal.reason, refusal.detail) == (bad.record, DeadLetterReason.MODEL_ERROR, "it raised")
    assert (refusal.event_id, refusal.size_bytes, refusal.ledger) == (bad.event_id, bad.size_bytes, bad.ledger)


def test_a_stored_result_outranks_a_reject_of_a_later_run() -> None:
    item = item_at(0)
    result = sort([item], [row_of(item)], [(0, "model_error", "it raised the second time")])
    assert [i for i, _ in result.to_publish] == [item]
    assert result.refusals == []


def test_a_reject_is_told_as_it_is_when_the_row_belongs_to_other_content() -> None:
    decided = item_at(0, content_hash="aa")
    bad = item_at(1, decision_id=decided.decision_id, content_hash="bb")
    result = sort([decided, bad], [row_of(decided)], [(1, "schema", "data.text: missing")])
    assert [r.reason for r in result.refusals] == [DeadLetterReason.SCHEMA]


def test_an_item_with_neither_row_nor_reject_is_missing() -> None:
    item = item_at(0)
    assert sort([item], []).missing == [item]


def test_an_item_of_a_revoked_partition_is_gone_whatever_became_of_it() -> None:
    ledger = made_ledger()
    items = [item_at(n, ledger=ledger) for n in range(3)]
    ledger.close()
    result = sort(items, [row_of(items[0])], [(1, "internal", "")])
    assert result == Sorted(gone=items)


@given(st.data())
def test_every_item_of_a_batch_ends_in_exactly_one_place(data: st.DataObject) -> None:
    closed = made_ledger()
    closed.close()
    items: list[Item] = []
    rows, rejects = [], []
    for place in range(data.draw(st.integers(0, 12))):
        twin = data.draw(st.sampled_from([None, *items]))
        item = item_at(
            place,
            ledger=closed if data.draw(st.booleans()) else made_ledger(),
            content_hash=data.draw(st.sampled_from(["aa", "bb"])),
        )
        if twin is not None:
            item.decision_id = twin.decision_id
        if data.draw(st.booleans()):
            rows.append(row_of(data.draw(st.sampled_from([item, *items]))))
        if data.draw(st.booleans()):
            rejects.append((place, "internal", ""))
        items.append(item)
    result = sort(items, rows, rejects)
    places = [
        *[item.record.offset for item, _ in result.to_publish],
        *[item.record.offset for item in (*result.duplicates, *result.missing, *result.gone)],
        *[refusal.record.offset for refusal in result.refusals],
    ]
    assert sorted(places) == list(range(len(items)))
    assert len({row.decision_id for _, row in result.to_publish}) == len(result.to_publish)


# --- render ----------------------------------------------------------------------------------------------------------


def test_i3_an_event_is_rendered_from_the_stored_row_alone() -> None:
    item = item_at(7, tenant="now", output_key="now", data={"text": "now"}, content_hash="cc")
    row = row_of(item, tenant="then", output_key="then", data='{"length": 42}', decided_at="2020-01-01T00:00:00.000Z")
    out = render(item, row, prefix="eu.", partitions=12)
    assert json.loads(out.value or b"") == {
        "specversion": "1.0",
        "id": item.decision_id,
        "source": "tidegate/toy",
        "type": "tidegate.toy.answered.v1",
        "tenant": "then",
        "time": "2020-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "data": {"length": 42},
    }
    assert out.key == b"then"
    assert out.topic == "eu.toy.answered"


def test_i3_every_rendering_of_a_row_is_the_same_bytes() -> None:
    item = item_at(7)
    row = row_of(item)
    again = item_at(7, decision_id=item.decision_id, data={"other": "memory"})
    one, other = (render(i, row, prefix="", partitions=3) for i in (item, again))
    assert (one.value, one.key, one.headers, one.partition) == (other.value, other.key, other.headers, other.partition)


def test_the_row_is_spliced_in_as_postgres_wrote_it() -> None:
    item = item_at(0)
    out = render(item, row_of(item, data='{"score": 0.10, "text": "é"}'), prefix="", partitions=1)
    assert '"data":{"score": 0.10, "text": "é"}}'.encode() in (out.value or b"")


def test_a_result_goes_to_the_output_partition_of_its_input() -> None:
    item = item_at(0, record=MadeRecord(0, partition=5))
    assert render(item, row_of(item), prefix="", partitions=12).partition == 5
    assert render(item, row_of(item), prefix="", partitions=4).partition == 1


def test_a_result_says_which_record_it_answers() -> None:
    item = item_at(41, record=MadeRecord(41, partition=5))
    assert render(item, row_of(item), prefix="", partitions=12).headers == [("tidegate-input", b"5:41")]


def test_without_an_output_key_the_record_keeps_the_key_of_its_input() -> None:
    item = item_at(0, output_key=None)
    assert render(item, row_of(item), prefix="", partitions=1).key == b"author"
