"""The same event has one effect, however often it comes; the same id with other content is an error (I3)."""

from __future__ import annotations

from uuid import uuid4

import pytest

from services.events import decision_id
from tests.integration.spine.app import App, Sent
from tests.integration.spine.topics import review_event


def published(app: App, *sent: Sent) -> list[bytes | None]:
    """The output events of all of these."""
    return [record.value for one in sent for record in app.results(one)]


def rows(app: App, identity: str) -> int:
    with app.deployment.database() as database, database.cursor("test") as cursor:
        cursor.execute("SELECT count(*) FROM review_decision WHERE decision_id = %s", (identity,))
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def identity_of(event_id: str, tenant: str = "default") -> str:
    return str(decision_id(tenant, "test", event_id, "review"))


@pytest.mark.parametrize("pause", [True, False], ids=["one after the other", "side by side"])
def test_i3_the_same_event_twice_has_one_effect(app: App, *, pause: bool) -> None:
    event = review_event("fine", str(uuid4()))
    duplicates = app.dispatcher.metric("tidegate_duplicates_total", capability="review")
    first, *_ = sent = (
        app.send("content.submitted", event) if pause else app.send("content.submitted", event, event, event)
    )
    app.result(first)
    if pause:
        sent += app.send("content.submitted", event, event)
    app.wait_settled(*sent)
    assert len(published(app, *sent)) == 1
    assert app.results(first)[0].event["id"] == identity_of(first_id(event))
    assert rows(app, identity_of(first_id(event))) == 1
    assert all(app.dead_letters(one) == [] for one in sent)
    assert app.dispatcher.metric("tidegate_duplicates_total", capability="review") == duplicates + 2


def first_id(event: bytes) -> str:
    return event.decode().split('"id": "', 1)[1].split('"', 1)[0]


def test_i3_the_same_event_on_two_partitions_has_one_effect(app: App) -> None:
    event = review_event("fine", str(uuid4()))
    sent = [
        Sent("content.submitted", partition, offset, app.topics.ends("content.decided"), {})
        for number in range(3)
        for partition, offset in app.topics.send("content.submitted", [event], partition=number)
    ]
    app.wait_settled(*sent)
    everything = [r for r in app.topics.read("content.decided") if r.event["id"] == identity_of(first_id(event))]
    assert len(everything) == 1


@pytest.mark.parametrize("pause", [True, False], ids=["one after the other", "side by side"])
def test_i3_the_same_id_with_other_content_is_a_dead_letter(app: App, *, pause: bool) -> None:
    event_id = str(uuid4())
    one, other = review_event("first", event_id), review_event("second", event_id)
    if pause:
        (first,) = app.send("content.submitted", one)
        app.result(first)
        (second,) = app.send("content.submitted", other)
    else:
        first, second = app.send("content.submitted", one, other)
    app.wait_settled(first, second)
    letters = app.dead_letters(first) + app.dead_letters(second)
    assert [letter.header("dlq-reason") for letter in letters] == ["id_reuse"]
    assert len(published(app, first, second)) == 1
    if pause:
        assert letters[0].value == other
        assert rows(app, identity_of(event_id)) == 1


def test_the_same_content_in_another_spelling_is_the_same_event(app: App) -> None:
    event = review_event("caf\u00e9", str(uuid4()))
    first, second = app.send("content.submitted", event, event.replace("é".encode(), b"\\u00e9"))
    app.wait_settled(first, second)
    assert len(published(app, first, second)) == 1
    assert app.dead_letters(second) == []


def test_the_same_id_of_another_source_is_another_event(app: App) -> None:
    event_id = str(uuid4())
    first, second = app.send(
        "content.submitted", review_event("fine", event_id), review_event("fine", event_id, source="elsewhere")
    )
    app.wait_settled(first, second)
    assert len(published(app, first, second)) == 2


def test_an_event_that_was_dead_lettered_can_be_sent_again_mended(app: App) -> None:
    event_id = str(uuid4())
    (bad,) = app.send("content.submitted", review_event("x" * 100_001, event_id))
    app.dead_letter(bad)
    (mended,) = app.send("content.submitted", review_event("shorter", event_id))
    assert app.result(mended).data["event_id"] == event_id


def test_i3_the_published_event_is_what_the_row_holds(app: App) -> None:
    (sent,) = app.send("content.submitted", review_event("fine", str(uuid4())))
    event = app.result(sent)
    with app.deployment.database() as database, database.cursor("test") as cursor:
        cursor.execute("SELECT data FROM review_decision WHERE decision_id = %s", (event.event["id"],))
        (stored,) = cursor.fetchone() or (None,)
    assert event.data == stored
    assert event.data["decision_id"] == event.event["id"]


def test_results_go_to_the_partition_and_the_key_of_their_author(app: App) -> None:
    sent = app.send(
        "content.submitted", *[review_event(str(n), data={"author_id": "zoe"}) for n in range(5)], key=b"zoe"
    )
    results = [app.result(one) for one in sent]
    assert {r.key for r in results} == {b"zoe"}
    assert {r.partition for r in results} == {sent[0].partition}
