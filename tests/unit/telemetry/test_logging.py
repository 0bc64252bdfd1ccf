"""Logs: one JSON object a line; and no line of the spine ever shows a text."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import structlog

from consumers.dispatcher.intake import read_record
from consumers.dispatcher.items import Refusal
from services.capabilities import Outcome, WorkItem
from services.errors import DeadLetterReason, PermanentError
from services.settings import Settings
from services.telemetry import configure_logging, get_logger
from tests.toy.capability import TOY
from tests.unit.dispatcher.made import MadeRecord, made_ledger
from tests.unit.worker.places import order_of
from tests.unit.worker.test_batch_run import Bench

SECRET = "quidquid latine dictum sit"


@pytest.fixture
def configure(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], None]]:
    """Configure logging as the processes do; it is taken back afterwards.

    To be called by the test itself, because pytest adds handlers of its own just before.
    """
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("kafka").level, logging.raiseExceptions
    yield lambda: configure_logging("worker", "DEBUG")
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    logging.getLogger("kafka").setLevel(before[2])
    logging.raiseExceptions = before[3]
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_line_is_an_object_with_time_level_event_and_component(
    capsys: pytest.CaptureFixture[str], configure: Callable[[], None]
) -> None:
    configure()
    get_logger("tidegate.test").info("a batch is sent\nand more", batch_id="b-1")
    logging.getLogger("somebody.else").warning("%s of %s", 1, 2)
    one, other = lines(capsys)
    assert (one["event"], one["level"], one["component"], one["batch_id"]) == (
        "a batch is sent\nand more",
        "info",
        "worker",
        "b-1",
    )
    assert one["timestamp"].endswith("Z")
    assert (other["event"], other["level"], other["component"]) == ("1 of 2", "warning", "worker")


def test_the_kafka_clients_chatter_is_left_out(
    capsys: pytest.CaptureFixture[str], configure: Callable[[], None]
) -> None:
    configure()
    logging.getLogger("kafka.net").error("Connection failed")
    assert lines(capsys) == []


def test_a_failing_pipeline_shows_where_and_never_what(
    capsys: pytest.CaptureFixture[str], configure: Callable[[], None]
) -> None:
    configure()

    class Quoting:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            raise ValueError(items[0].data.text)

    Bench(Quoting()).runner.run(order_of(SECRET))
    said = capsys.readouterr().err
    assert "pipeline failed" in said
    assert "ValueError" in said
    assert SECRET not in said


def test_a_batch_that_is_handed_back_shows_no_text(
    capsys: pytest.CaptureFixture[str], configure: Callable[[], None]
) -> None:
    configure()

    class Strange:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            raise PermanentError(items[0].data.text, "x")

    Bench(Strange()).runner.run(order_of(SECRET))
    said = capsys.readouterr().err
    assert "batch run failed" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "value",
    [
        SECRET.encode(),
        b'{"' + SECRET.encode() + b'": 1, "' + SECRET.encode() + b'": 2}',
        json.dumps({"specversion": SECRET}).encode(),
        json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": SECRET, "data": {}}).encode(),
    ],
)
def test_a_refusal_shows_no_text(value: bytes) -> None:
    refusal = read_record(MadeRecord(0, value=value), TOY, made_ledger(), Settings())
    assert isinstance(refusal, Refusal)
    assert SECRET not in refusal.detail


def test_a_schema_error_shows_the_field_and_not_its_value() -> None:
    with pytest.raises(PermanentError) as caught:
        TOY.input.validate({"toy_id": [SECRET], "text": {SECRET: SECRET}})
    assert caught.value.reason is DeadLetterReason.SCHEMA
    assert "data.toy_id" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_secrets_do_not_show_in_the_settings() -> None:
    settings = Settings(postgres_dsn=f"postgresql://u:{SECRET}@h/db", valkey_url=f"redis://:{SECRET}@h/0")
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
