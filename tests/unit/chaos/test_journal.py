"""A journal gives back what was written, whatever bytes were published."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.events import decided, review_events
from tests.chaos.journal import Bad, Journal, Planned, read_journal


def test_a_journal_tells_good_events_from_bad_ones_and_counts_acknowledgements(tmp_path: Path) -> None:
    good = decided("content.submitted", "run-0", "author", {"text": "你好"}, {"content_id": "c"}, copies=2)
    bad = Planned("run-r0", b"\xff", b"\x00\xfe", (("h", b"1"), ("h", b"\x80")), reason="not_utf8")
    path = tmp_path / "run.journal"
    with Journal(path, "run-") as journal:
        journal.intend(good)
        journal.intend(bad)
        journal.acknowledge("run-0", 0, 1)
        journal.acknowledge("run-0", 0, 2)
    published = read_journal(path)
    assert published.run == "run-"
    assert published.good == {"run-0": {"content_id": "c"}}
    assert published.bad == {"run-r0": Bad(bad.key, bad.value, bad.headers, "not_utf8")}
    assert published.acknowledged == {"run-0": 2}
    assert published.records == 2


def test_the_same_seed_publishes_the_same_bytes() -> None:
    one, other = (list(review_events("run-", 200, 5, null_model=True)) for _ in range(2))
    assert one == other
    assert one != list(review_events("run-", 200, 6, null_model=True))


def test_the_planted_rubbish_is_unique_and_names_the_run() -> None:
    rubbish = [event for event in review_events("run-", 3000, 5, null_model=False) if event.reason]
    assert len({event.value for event in rubbish}) == len(rubbish) > 10
    assert all(b"run-" in event.value for event in rubbish)
    assert {event.reason for event in rubbish} == {
        "not_json", "not_utf8", "not_cloudevent", "unknown_type", "unknown_tenant", "schema",
    }  # fmt: skip


def test_there_are_as_many_good_events_as_asked_for_and_some_are_published_twice() -> None:
    good = [event for event in review_events("run-", 1000, 5, null_model=False) if event.reason is None]
    assert len(good) == 1000
    assert {event.copies for event in good} == {1, 2}
