"""The verdict on a run: was anything lost, doubled or changed? Pure: what was published and what was found come in as values.

Independent of the pipeline on purpose. It matches by the ids that the publisher chose, not by decision ids, so that a fault in
how those are made shows as a double effect instead of hiding; it knows rows and records only as `evidence` reads them.

An *effect* of an event is its row in the result table and its record on the output topic: there must be one of each, they must
say the same, and they must be about the content that was published. A planted bad event must be one dead-letter row and on the
dead-letter topic, byte for byte, for the right reason. Dead-letter *records* are promised at least once, so copies of one are
counted and not blamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import Any

import orjson

from tests.chaos.journal import Bad, Headers, Published

__all__ = ["DeadLetter", "Effect", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Effect:
    """One row of the result table or one record of the output topic. `data` is the decision."""

    event_id: str
    decision_id: str
    key: bytes | None
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One row of the table of dead letters or one record of a dead-letter topic, without the headers that were added.

    `origin` is the partition and offset of the input record: a send that the publisher had to repeat may have left two.
    """

    origin: tuple[int, int]
    key: bytes | None
    value: bytes | None
    headers: Headers
    reason: str
    event_id: str | None = None


_FAULT = {"fault": True}


@dataclass(slots=True)
class Verdict:
    """Counts of what is right, and the ids of what is wrong."""

    published: int = 0  #: good events
    planted: int = 0  #: bad ones
    decided: int = 0  #: good events with both effects
    rejected: int = 0  #: planted ones found as row and record
    dead_letter_copies: int = 0  #: records beyond the first, which are allowed

    unacknowledged: list[str] = field(
        default_factory=list, metadata=_FAULT
    )  #: never taken by the broker: a fault of the tool
    lost_rows: list[str] = field(default_factory=list, metadata=_FAULT)
    lost_events: list[str] = field(default_factory=list, metadata=_FAULT)
    double_rows: list[str] = field(default_factory=list, metadata=_FAULT)
    double_events: list[str] = field(default_factory=list, metadata=_FAULT)
    differing: list[str] = field(default_factory=list, metadata=_FAULT)  #: row and event do not say the same
    misattributed: list[str] = field(default_factory=list, metadata=_FAULT)  #: about another content
    dead_lettered: list[str] = field(default_factory=list, metadata=_FAULT)  #: good events that were refused
    lost_dead_letters: list[str] = field(default_factory=list, metadata=_FAULT)
    double_dead_letters: list[str] = field(default_factory=list, metadata=_FAULT)
    wrong_dead_letters: list[str] = field(default_factory=list, metadata=_FAULT)  #: other bytes or another reason
    strangers: list[str] = field(default_factory=list, metadata=_FAULT)  #: effects of what was never published

    @property
    def faults(self) -> dict[str, list[str]]:
        """Everything that is wrong, by kind."""
        names = [one.name for one in fields(self) if one.metadata.get("fault")]
        return {name: found for name in names if (found := getattr(self, name))}

    @property
    def lost(self) -> int:
        """Events without one of their effects."""
        return len({*self.lost_rows, *self.lost_events, *self.lost_dead_letters})

    @property
    def doubled(self) -> int:
        """Events with an effect too many."""
        return len({*self.double_rows, *self.double_events, *self.double_dead_letters})


def judge(
    published: Published,
    rows: Iterable[Effect],
    events: Iterable[Effect],
    dead_rows: Iterable[DeadLetter],
    dead_records: Iterable[DeadLetter],
) -> Verdict:
    """Compare. Effects of other runs on the same servers are ignored: their ids begin otherwise."""
    verdict = Verdict(published=len(published.good), planted=len(published.bad))
    everything = [*published.good, *published.bad]
    verdict.unacknowledged = [name for name in everything if name not in published.acknowledged]
    _judge_decisions(verdict, published, _gather(rows, published), _gather(events, published))
    _judge_dead_letters(verdict, published, dead_rows, dead_records)
    return verdict


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is kept of an effect: with its data, a run of 100,000 events would not fit into memory."""

    identity: tuple[str, bytes | None, bytes]  # decision id, key, digest of the data
    is_about_its_event: bool


def _gather(effects: Iterable[Effect], published: Published) -> dict[str, list[_Seen]]:
    found: dict[str, list[_Seen]] = {}
    for effect in effects:
        if effect.event_id.startswith(published.run) or not effect.decision_id:
            digest = blake2b(orjson.dumps(effect.data, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()
            seen = _Seen((effect.decision_id, effect.key, digest), _is_about(effect, published.good))
            found.setdefault(effect.event_id, []).append(seen)
    return found


def _judge_decisions(
    verdict: Verdict, published: Published, rows: dict[str, list[_Seen]], events: dict[str, list[_Seen]]
) -> None:
    for event_id in published.good:
        own_rows, own_events = rows.pop(event_id, []), events.pop(event_id, [])
        everything = [*own_rows, *own_events]
        if not own_rows:
            verdict.lost_rows.append(event_id)
        if not own_events:
            verdict.lost_events.append(event_id)
        if len(own_rows) > 1:
            verdict.double_rows.append(event_id)
        if len(own_events) > 1:
            verdict.double_events.append(event_id)
        if len({one.identity for one in everything}) > 1:
            verdict.differing.append(event_id)
        if not all(one.is_about_its_event for one in everything):
            verdict.misattributed.append(event_id)
        verdict.decided += bool(own_rows and own_events)
    verdict.strangers += sorted({*rows, *events})


def _is_about(effect: Effect, good: Mapping[str, Mapping[str, Any]]) -> bool:
    expect = good.get(effect.event_id, {})
    return effect.data.get("decision_id") == effect.decision_id and all(
        _at(effect.data, path) == value for path, value in expect.items()
    )


def _at(data: Mapping[str, Any], path: str) -> Any:
    """`a/b` is the field `b` of the field `a`: labels have dots in their names."""
    found: Any = data
    for name in path.split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _judge_dead_letters(
    verdict: Verdict, published: Published, dead_rows: Iterable[DeadLetter], dead_records: Iterable[DeadLetter]
) -> None:
    by_value = {bad.value: name for name, bad in published.bad.items()}
    in_table = _origins(verdict, published, by_value, dead_rows)
    on_topic = _origins(verdict, published, by_value, dead_records)
    for name in published.bad:
        rows, records = in_table.get(name, []), on_topic.get(name, [])
        if not rows or set(rows) != set(records):
            verdict.lost_dead_letters.append(name)
        else:
            verdict.rejected += 1
        if len(rows) > len(set(rows)):
            verdict.double_dead_letters.append(name)
        verdict.dead_letter_copies += len(records) - len(set(records))


def _origins(
    verdict: Verdict, published: Published, by_value: Mapping[bytes, str], letters: Iterable[DeadLetter]
) -> dict[str, list[tuple[int, int]]]:
    """Where each planted event was found with its own bytes; everything else of this run is a fault."""
    run = published.run.encode()
    found: dict[str, list[tuple[int, int]]] = {}
    for letter in letters:
        value = letter.value or b""
        name = by_value.get(value)
        if name is not None:
            if _same(published.bad[name], letter):
                found.setdefault(name, []).append(letter.origin)
            else:
                verdict.wrong_dead_letters.append(name)
        elif run in value or (letter.event_id or "").startswith(published.run):
            known = letter.event_id in published.good
            (verdict.dead_lettered if known else verdict.strangers).append(letter.event_id or repr(value[:60]))
    return found


def _same(bad: Bad, letter: DeadLetter) -> bool:
    return (bad.key, bad.value, bad.headers, bad.reason) == (letter.key, letter.value, letter.headers, letter.reason)
