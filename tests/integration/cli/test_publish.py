"""`tidegate publish` against a real Kafka."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

from services.events import decode
from tests.integration.cli.conftest import Ended
from tests.integration.servers import Deployment
from tests.integration.topics import read_topic

Run = Callable[..., Ended]

TOPIC = "content.submitted"


def line(number: int) -> bytes:
    data = {"content_id": f"c{number}", "author_id": f"a{number % 7}", "text": f"text {number} 文字"}
    return json.dumps(data, ensure_ascii=False).encode() + b"\n"


def event(event_id: str) -> bytes:
    data = line(1).strip()
    return b'{"specversion":"1.0","id":"%s","source":"s","type":"tidegate.%s.v1","data":%s}' % (
        event_id.encode(),
        TOPIC.encode(),
        data,
    )


def test_every_line_becomes_an_event_and_its_id_is_printed_in_the_order_of_the_lines(
    tidegate: Run, deployment: Deployment, tmp_path: Path
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_bytes(b"".join(line(number) for number in range(3000)))
    done = tidegate("publish", TOPIC, str(file), "--source", "here", "--tenant", "acme")
    assert (done.code, done.err) == (0, "3,000 events published.\n")
    events = {}
    for record in read_topic(deployment.settings, TOPIC):
        envelope = decode(record.value, record.headers, max_bytes=10_000)
        assert record.key == envelope.data["author_id"].encode()
        assert (envelope.source, envelope.tenant) == ("here", "acme")
        events[envelope.id] = envelope.data
    assert [events[event_id] for event_id in done.lines] == [json.loads(line(number)) for number in range(3000)]


def test_standard_input_is_read_when_no_file_is_named(tidegate: Run, deployment: Deployment) -> None:
    assert tidegate("publish", TOPIC, given=line(1)).code == 0
    assert tidegate("publish", TOPIC, "-", given=line(2)).code == 0
    assert len(read_topic(deployment.settings, TOPIC)) == 2


def test_a_bad_line_is_reported_with_its_number_and_the_others_go_on(tidegate: Run, deployment: Deployment) -> None:
    done = tidegate("publish", TOPIC, given=line(1) + b"{broken\n\n" + b'{"content_id":"c"}\n' + line(2))
    assert done.code == 1
    assert len(done.lines) == 2
    first, second, total = done.err.splitlines()
    assert first.startswith("line 2: not_json: not JSON at byte 1 of 7")
    assert second == "line 4: schema: data.author_id: Field required; data.text: Field required"
    assert total == "2 events published, 2 lines refused."
    assert len(read_topic(deployment.settings, TOPIC)) == 2


def test_a_whole_event_is_sent_as_it_is(tidegate: Run, deployment: Deployment) -> None:
    done = tidegate("publish", TOPIC, given=event("e-1") + b"\n" + event("e-1"))
    assert (done.code, done.lines) == (0, ["e-1", "e-1"])
    assert [record.value for record in read_topic(deployment.settings, TOPIC)] == [event("e-1")] * 2


def test_raw_lines_keep_every_byte(tidegate: Run, deployment: Deployment) -> None:
    lines = [b"{broken", b"\xff\xfe\r", b"", b' {"text": 1} ', event("e-1")]
    done = tidegate("publish", TOPIC, "--raw", given=b"\n".join(lines))
    assert (done.code, done.lines) == (0, ["-", "-", "-", "-", "e-1"])
    assert sorted(record.value or b"" for record in read_topic(deployment.settings, TOPIC)) == sorted(lines)


def test_a_key_is_the_key_of_every_record(tidegate: Run, deployment: Deployment) -> None:
    tidegate("publish", TOPIC, "--key", "the-key", given=line(1) + line(2))
    tidegate("publish", TOPIC, "--key", "the-key", "--raw", given=b"rubbish")
    records = read_topic(deployment.settings, TOPIC)
    assert [record.key for record in records] == [b"the-key"] * 3
    assert len({record.partition for record in records}) == 1


def test_a_record_that_kafka_refuses_is_a_bad_line(tidegate: Run, deployment: Deployment) -> None:
    noise = random.Random(1).randbytes(1_800_000).replace(b"\n", b".")  # does not become small by compression
    done = tidegate("publish", TOPIC, "--raw", given=noise + b"\nsmall\n" + b"y" * 3_000_000 + b"\nlast")
    assert done.code == 1
    assert "line 1: the record is larger than Kafka takes" in done.err
    assert "line 3: too_large: the line has more than 2097152 bytes" in done.err
    assert {record.value for record in read_topic(deployment.settings, TOPIC)} == {b"small", b"last"}


def test_the_topic_may_be_named_with_its_prefix(tidegate: Run, deployment: Deployment) -> None:
    assert tidegate("publish", deployment.settings.topic_prefix + TOPIC, given=line(1)).code == 0
    assert len(read_topic(deployment.settings, TOPIC)) == 1


def test_an_unknown_topic_lists_the_known_ones(tidegate: Run) -> None:
    done = tidegate("publish", "content.subitted", given=line(1))
    assert (done.code, done.out) == (1, b"")
    assert done.err == "there is no input topic 'content.subitted'; known: content.submitted, toy.requested\n"


def test_a_topic_that_kafka_does_not_have_says_how_to_make_it(tidegate: Run) -> None:
    done = tidegate("publish", TOPIC, given=line(1), TIDEGATE_TOPIC_PREFIX="nobody.")
    assert done.code == 1
    assert "has no topic nobody.content.submitted" in done.err
    assert "tidegate up" in done.err


def test_a_file_that_is_not_there_is_a_sentence(tidegate: Run) -> None:
    assert tidegate("publish", TOPIC, "/no/such/file").err == (
        "the file /no/such/file cannot be read: No such file or directory\n"
    )


def test_kafka_that_does_not_answer_is_a_sentence(tidegate: Run) -> None:
    done = tidegate("publish", TOPIC, given=line(1), TIDEGATE_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert done.code == 1
    assert done.err.startswith("Kafka at 127.0.0.1:1 does not answer")
    assert len(done.err.splitlines()) == 1


def test_without_servers_it_says_how_to_start_them(tidegate: Run, tmp_path: Path) -> None:
    done = tidegate("publish", TOPIC, "--data", str(tmp_path), given=line(1), TIDEGATE_KAFKA_BOOTSTRAP="")
    assert done.code == 1
    assert done.err == (
        f"nothing runs in {tmp_path.resolve()}: start it with `tidegate up`, "
        "or say where the servers are with TIDEGATE_KAFKA_BOOTSTRAP\n"
    )


def test_a_reader_that_leaves_ends_it_without_a_traceback(
    started: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_bytes(b"".join(line(number) for number in range(20_000)))
    process = started("publish", TOPIC, str(file))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    assert process.wait() == 1
