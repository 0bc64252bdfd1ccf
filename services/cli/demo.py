"""`tidegate demo`: from nothing to decisions about two dozen sample texts, and a stack to play with.

Promises: everything shown came back through the real pipeline: the samples are published to Kafka, the decisions are read from
Postgres. The stack stays up. One sample is broken on purpose and sent as it is, so that there is a dead letter to look at.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.embedded import Stack
from services.cli.connection import DataOption, settings_for
from services.cli.lines import read_line
from services.cli.publish import event_type_of
from services.cli.results import open_database
from services.cli.results_table import action_text, labels_text, reasons_text
from services.cli.screen import notes, output, printable, shortened
from services.cli.stack import StackProgress, state_table
from services.errors import PermanentError
from services.events import DEFAULT_TENANT, decision_id, topic_name
from services.messaging import Publisher
from services.settings import Settings
from services.storage import Database, DeadLetter, DeadLetterStore, ResultReader, dead_letter_id

__all__ = ["demo"]

_SAMPLES = Path(__file__).parent / "samples" / "demo.jsonl"
_TOPIC = "content.submitted"
_CAPABILITY = "review"
_TABLE = "review_decision"
_SOURCE = "tidegate-demo"
#: After everything is healthy; a cold model on a slow machine takes seconds.
_PATIENCE_S = 60.0
_POLL_S = 0.1


def demo(data: DataOption = None) -> None:
    """Start the stack, publish samples and show what came back.

    A stack that runs already is used. It stays up: `tidegate down` stops it.
    """
    console = output()
    stack = Stack(data)
    with StackProgress(notes()) as progress:
        state = stack.up(progress.tell)
    settings = settings_for(data, "kafka", "postgres")
    samples, started = _publish(settings)
    with open_database(settings) as database:
        answers = _wait(database, samples)
    elapsed_s = time.monotonic() - started

    console.print(_answers_table(samples, answers, console))
    console.print()
    decided = len(answers.decisions)
    console.print(
        f"{len(samples)} messages published; {decided} decisions and {len(answers.letters)} dead letter in {elapsed_s:.1f} s."
    )
    console.print()
    console.print(state_table(state))
    _say_next(console, data)
    missing = len(samples) - decided - len(answers.letters)
    if missing:
        notes().print(
            f"{missing} answers did not come within {_PATIENCE_S:.0f} s: look into the logs in {stack.folder.logs}",
            style="red",
            markup=False,
        )
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Sample:
    """One line on its way. `answer` is the id of the decision or of the dead letter that it must become."""

    line: bytes
    text: str | None
    answer: str


@dataclass(frozen=True, slots=True)
class _Answers:
    decisions: dict[str, dict[str, Any]]
    letters: dict[str, DeadLetter]


def _publish(settings: Settings) -> tuple[list[_Sample], float]:
    """Send every sample; the ids of what they will become follow from what the broker acknowledged. And when that began."""
    event_type = event_type_of(settings, _TOPIC)
    topic = topic_name(settings.topic_prefix, _TOPIC)
    samples: dict[int, _Sample] = {}
    with Publisher[tuple[int, bytes, str | None]](settings, "tidegate-demo") as publisher:
        started = time.monotonic()
        for number, line in enumerate(_SAMPLES.read_bytes().splitlines()):
            try:
                record = read_line(
                    line,
                    event_type,
                    source=_SOURCE,
                    tenant=DEFAULT_TENANT,
                    key=None,
                    max_bytes=settings.max_message_bytes,
                )
            except PermanentError:
                record = None
            if record is None:
                publisher.send((number, line, None), topic, None, line)
            else:
                publisher.send((number, line, record.event_id), topic, record.key, record.value)
        for delivery in publisher.drain():
            number, line, event_id = delivery.subject
            if event_id is None:
                answer = dead_letter_id(topic, delivery.partition, delivery.offset, line)
                samples[number] = _Sample(line, None, answer)
            else:
                answer = str(decision_id(DEFAULT_TENANT, _SOURCE, event_id, _CAPABILITY))
                samples[number] = _Sample(line, json.loads(line)["text"], answer)
    return [samples[number] for number in sorted(samples)], started


def _wait(database: Database, samples: Sequence[_Sample]) -> _Answers:
    """The answers that come within the patience."""
    reader = ResultReader(database, _TABLE)
    store = DeadLetterStore(database)
    decisions: dict[str, dict[str, Any]] = {}
    letters: dict[str, DeadLetter] = {}
    give_up_at = time.monotonic() + _PATIENCE_S
    with notes().status("Waiting for the decisions"):
        while len(decisions) + len(letters) < len(samples) and time.monotonic() < give_up_at:
            time.sleep(_POLL_S)
            open_ones = [s for s in samples if s.answer not in decisions and s.answer not in letters]
            rows = reader.of_decisions(s.answer for s in open_ones if s.text is not None)
            decisions |= {row.decision_id: json.loads(row.data) for row in rows}
            found = [store.get(s.answer) for s in open_ones if s.text is None]
            letters |= {letter.id: letter for letter in found if letter is not None}
    return _Answers(decisions, letters)


def _answers_table(samples: Sequence[_Sample], answers: _Answers, console: Console) -> Table:
    """Text, action, labels, and the words that were the reason. Fits into 80 columns."""
    free = max(min(console.width, 140) - len("action") - 3 * 2, 50)
    widths = (free * 42 // 100, len("action"), free * 26 // 100, free * 32 // 100)
    table = Table(
        title="What came back",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading, width in zip(("text", "action", "labels", "because of"), widths, strict=True):
        table.add_column(heading, width=width, overflow="fold")
    for sample in samples:
        text = Text(shortened(printable(sample.text or sample.line.decode()), 2 * widths[0] - 6))
        decision = answers.decisions.get(sample.answer)
        letter = answers.letters.get(sample.answer)
        if decision is not None:
            allowed = decision["action"] == "allow"
            labels = labels_text(decision["labels"], brief=allowed)
            table.add_row(text, action_text(decision["action"]), labels, reasons_text(decision["reasons"], sample.text))
        elif letter is not None:
            detail = Text(f"{letter.reason}: {printable(letter.detail)}", "red")
            table.add_row(text, Text("none", "dim"), Text("dead letter", "red"), detail)
        else:
            table.add_row(text, Text("none", "dim"), Text("no answer yet", "red"), "")
    return table


def _say_next(console: Console, data: Path | None) -> None:
    command = "tidegate" if shutil.which("tidegate") else _shown_path(Path(sys.argv[0]))
    where = f" --data {data}" if data is not None else ""
    example = '{"content_id": "1", "author_id": "me", "text": "You are so kind."}'
    console.print()
    console.print("It goes on running. Try next:", style="bold")
    for line in (
        f"  echo '{example}' | {command} publish {_TOPIC}{where}",
        f"  {command} results {_CAPABILITY} --follow{where}",
        f"  {command} dlq list{where}",
    ):
        console.print(line, style="cyan", markup=False, soft_wrap=True)
    console.print(f"Stop it with {command} down{where}", markup=False, soft_wrap=True)


def _shown_path(path: Path) -> str:
    """The path as one would type it here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
