"""`tidegate dlq` against real Kafka and Postgres: what went in comes out byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.events import topic_name
from services.storage import DeadLetter, DeadLetterStore, dead_letter_id
from tests.integration.cli.conftest import Ended
from tests.integration.servers import Deployment
from tests.integration.topics import Read, read_topic

Run = Callable[..., Ended]

TOPIC = "content.submitted"
RUBBISH = b'{"text": "\xff\x00\x1b[2J zero\xe2\x80\x8bwidth", \r\n'
EVENT = (
    b'{"specversion":"1.0","id":"e1","source":"s","type":"tidegate.content.submitted.v1",'
    b'"data":{"content_id":"c","author_id":"mended","text":"x"}}'
)


@pytest.fixture
def store(deployment: Deployment) -> Iterator[DeadLetterStore]:
    with deployment.database() as database:
        yield DeadLetterStore(database)


@pytest.fixture
def letter(deployment: Deployment) -> DeadLetter:
    """A letter with everything that is hard to keep: no text, repeated headers, an empty one."""
    topic = topic_name(deployment.settings.topic_prefix, TOPIC)
    now = datetime.now(UTC)
    return DeadLetter(
        id=dead_letter_id(topic, 1, 7, RUBBISH),
        capability="review",
        topic=topic,
        partition=1,
        offset=7,
        record_timestamp=now,
        key=b"\xffkey",
        value=RUBBISH,
        headers=(("trace", b"\x00\xff"), ("trace", b"again"), ("empty", b"")),
        reason="not_utf8",
        detail="not UTF-8 at byte 10",
        event_id=None,
        component="dispatcher",
        version="0.1.0",
        failed_at=now,
    )


def another(letter: DeadLetter, offset: int, **changes: object) -> DeadLetter:
    return replace(letter, id=dead_letter_id(letter.topic, 1, offset, b"%d" % offset), offset=offset, **changes)  # type: ignore[arg-type]


def sent(deployment: Deployment) -> list[Read]:
    return read_topic(deployment.settings, TOPIC)


def listed(tidegate: Run, *options: str) -> list[int]:
    return [json.loads(text)["offset"] for text in tidegate("dlq", "list", "--json", *options).lines]


def test_the_list_shows_what_waits_newest_first(tidegate: Run, store: DeadLetterStore, letter: DeadLetter) -> None:
    hour = timedelta(hours=1)
    store.add(
        [letter, another(letter, 8, failed_at=letter.failed_at - 2 * hour), another(letter, 9, reason="schema")],
    )
    store.mark_replayed(another(letter, 9).id)
    assert listed(tidegate) == [7, 8]
    assert sorted(listed(tidegate, "--all")) == [7, 8, 9]
    assert listed(tidegate, "--since", "1h") == [7]
    assert listed(tidegate, "--reason", "schema", "--all") == [9]
    assert len(listed(tidegate, "--limit", "1")) == 1


def test_the_table_names_the_letters_and_counts_the_reasons(
    tidegate: Run, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter])
    done = tidegate("dlq", "list")
    assert letter.id[:8] in done.out.decode()
    assert "not_utf8" in done.out.decode()
    assert done.err == "1 wait (not_utf8 1); 0 were replayed.\n"


def test_the_list_never_shows_the_content(tidegate: Run, store: DeadLetterStore, letter: DeadLetter) -> None:
    store.add([another(letter, 8, value=b"the secret text")])
    for options in ((), ("--json",)):
        assert b"secret" not in tidegate("dlq", "list", *options).out


def test_show_raw_gives_the_original_bytes_and_nothing_else(
    tidegate: Run, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter])
    done = tidegate("dlq", "show", letter.id[:8], "--raw")
    assert (done.code, done.out, done.err) == (0, RUBBISH, "")


def test_show_escapes_what_could_steer_the_terminal(tidegate: Run, store: DeadLetterStore, letter: DeadLetter) -> None:
    store.add([letter])
    text = tidegate("dlq", "show", letter.id).out.decode()
    assert r"\xff\x00\x1b[2J zero\u200bwidth" in text
    assert "\x1b" not in text
    for part in (letter.id, "not UTF-8 at byte 10", "offset 7", r"\xffkey", "header trace"):
        assert part in text


def test_an_id_that_is_not_there_or_not_enough_is_a_sentence(
    tidegate: Run, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter, *(another(letter, offset) for offset in range(20, 60))])
    assert tidegate("dlq", "show", "no-id").err.startswith("there is no dead letter 'no-id'")
    assert tidegate("dlq", "show", "%").err.startswith("there is no dead letter '%'")
    some = next(digit for digit in "0123456789abcdef" if len(store.find(ids=[digit])) > 1)
    assert f"{some!r} is the beginning of several ids" in tidegate("dlq", "show", some).err


def test_a_replay_sends_key_value_and_headers_byte_for_byte(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter])
    done = tidegate("dlq", "replay", letter.id[:8])
    assert (done.code, done.err) == (0, "1 dead letter sent again.\n")
    (record,) = sent(deployment)
    assert (record.key, record.value) == (letter.key, letter.value)
    assert record.headers == (*letter.headers, ("replayed-from", letter.id.encode()))


def test_a_replayed_letter_waits_no_more(tidegate: Run, store: DeadLetterStore, letter: DeadLetter) -> None:
    store.add([letter])
    tidegate("dlq", "replay", letter.id)
    (stored,) = store.find(ids=[letter.id])
    assert stored.replayed_at is not None
    assert stored.replay_count == 1
    assert listed(tidegate) == []
    assert tidegate("dlq", "replay", "--yes").err == "No dead letters wait for that.\n"


def test_a_replay_of_a_replay_names_the_latest_letter_only(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    again = another(letter, 8, headers=(("trace", b"1"), ("replayed-from", letter.id.encode())))
    store.add([again])
    tidegate("dlq", "replay", again.id)
    assert sent(deployment)[0].headers == (("trace", b"1"), ("replayed-from", again.id.encode()))


def test_letters_without_key_or_value_can_be_replayed(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([another(letter, 8, key=None), another(letter, 9, value=None), another(letter, 10, key=None, value=None)])
    assert tidegate("dlq", "replay", "--yes").err == "3 dead letters sent again.\n"
    pairs = {(record.key, record.value) for record in sent(deployment)}
    assert pairs == {(None, RUBBISH), (letter.key, None), (b"", None)}  # Kafka's client refuses a record with neither


def test_a_filter_replays_only_what_it_names_oldest_first(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    minute = timedelta(minutes=1)
    store.add(
        [
            another(letter, 10 - age, reason="schema", value=b"%d" % age, failed_at=letter.failed_at - age * minute)
            for age in (1, 3, 2, 90)
        ]
        + [letter]
    )
    assert tidegate("dlq", "replay", "--reason", "schema", "--since", "1h", "--yes").code == 0
    assert [record.value for record in sent(deployment)] == [b"3", b"2", b"1"]
    assert sorted(listed(tidegate)) == [-80, 7]


def test_a_dry_run_says_what_it_would_send_and_sends_nothing(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter])
    done = tidegate("dlq", "replay", "--dry-run")
    assert letter.id in done.out.decode()
    assert done.err == f"Would send 1 to {letter.topic}; nothing was sent.\n"
    assert sent(deployment) == []
    assert listed(tidegate) == [7]


def test_many_are_not_replayed_without_a_yes(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter
) -> None:
    store.add([letter])
    done = tidegate("dlq", "replay")
    assert done.code == 1
    assert done.err == "1 dead letter would be sent again: confirm with --yes, or name ids\n"
    assert sent(deployment) == []


def test_a_mended_copy_goes_in_place_of_the_value(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter, tmp_path: Path
) -> None:
    store.add([letter, another(letter, 8, key=None)])
    file = tmp_path / "mended.json"
    file.write_bytes(EVENT + b"\n")
    assert tidegate("dlq", "replay", letter.id, "--with", str(file)).code == 0
    assert tidegate("dlq", "replay", another(letter, 8).id, "--with", str(file)).code == 0
    records = sent(deployment)
    assert {record.value for record in records} == {EVENT + b"\n"}
    assert {record.key for record in records} == {letter.key, b"mended"}  # its own key where the letter had none
    assert all(record.headers[:3] == letter.headers for record in records)


def test_a_binary_letter_is_mended_by_its_data_or_by_a_whole_event(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter, tmp_path: Path
) -> None:
    binary = (("ce_specversion", b"1.0"), ("ce_id", b"e1"), ("ce_source", b"s"), ("trace", b"x"))
    kind = ("ce_type", b"tidegate.content.submitted.v1")
    unreadable = ("tidegate-unreadable-batch", b"token too_large: x")
    one, other = another(letter, 8, headers=(*binary, kind, unreadable)), another(letter, 9, headers=binary)
    store.add([one, other])
    data, event = tmp_path / "data.json", tmp_path / "event.json"
    data.write_bytes(json.dumps(json.loads(EVENT)["data"]).encode())
    event.write_bytes(EVENT)
    refused = tidegate("dlq", "replay", other.id, "--with", str(data))  # its type is missing, and the data has none
    assert "type is missing" in refused.err
    assert "or the data that belongs to this binary event's headers" in refused.err
    assert tidegate("dlq", "replay", one.id, "--with", str(data)).code == 0
    assert tidegate("dlq", "replay", other.id, "--with", str(event)).code == 0
    records = {record.value: record.headers for record in sent(deployment)}
    assert records[data.read_bytes()][:-1] == (*binary, kind)
    assert records[EVENT][:-1] == (("trace", b"x"),)


def test_a_mended_copy_that_is_no_better_is_refused(
    tidegate: Run, deployment: Deployment, store: DeadLetterStore, letter: DeadLetter, tmp_path: Path
) -> None:
    store.add([letter])
    file = tmp_path / "mended.json"
    file.write_bytes(b'{"content_id": "c"}')
    done = tidegate("dlq", "replay", letter.id, "--with", str(file))
    assert done.code == 1
    assert "would be dead-lettered again (not_cloudevent" in done.err
    assert sent(deployment) == []
    assert tidegate("dlq", "replay", "--with", str(file)).code == 2


def test_a_letter_whose_topic_is_gone_is_not_marked(tidegate: Run, store: DeadLetterStore, letter: DeadLetter) -> None:
    lost = another(letter, 8, topic="nobody.content.submitted")
    store.add([lost])
    done = tidegate("dlq", "replay", lost.id)
    assert done.code == 1
    assert "has no topic nobody.content.submitted" in done.err
    assert listed(tidegate) == [8]
