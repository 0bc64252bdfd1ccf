"""The checker is only worth something if it catches what is planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.checker import DeadLetter, Effect, Verdict, judge
from tests.chaos.journal import Bad, Published

_EVENTS = ("run-0", "run-1", "run-2")
_BAD = Bad(b"key", b"rubbish run-r0 \xff", (("trace", b"1"), ("trace", b"2")), "not_utf8")


def _published() -> Published:
    good: dict[str, Mapping[str, Any]] = {name: {"content_id": f"content-{name}"} for name in _EVENTS}
    return Published("run-", good, {"run-r0": _BAD}, dict.fromkeys((*_EVENTS, "run-r0"), 1))


def _effect(event_id: str, **changes: Any) -> Effect:
    data = {
        "decision_id": f"id-{event_id}",
        "event_id": event_id,
        "content_id": f"content-{event_id}",
        "action": "allow",
    }
    return Effect(event_id, f"id-{event_id}", b"author", data | changes)


_EFFECTS = [_effect(name) for name in _EVENTS]
_LETTER = DeadLetter((0, 7), _BAD.key, _BAD.value, _BAD.headers, _BAD.reason)


def _judged(
    rows: list[Effect] | None = None,
    events: list[Effect] | None = None,
    dead_rows: list[DeadLetter] | None = None,
    dead_records: list[DeadLetter] | None = None,
    published: Published | None = None,
) -> Verdict:
    """The verdict on a flawless run, but for what is given."""
    return judge(
        published or _published(),
        _EFFECTS if rows is None else rows,
        _EFFECTS if events is None else events,
        [_LETTER] if dead_rows is None else dead_rows,
        [_LETTER] if dead_records is None else dead_records,
    )


def test_a_flawless_run_has_no_fault() -> None:
    verdict = _judged()
    assert not verdict.faults
    assert (verdict.published, verdict.decided, verdict.planted, verdict.rejected) == (3, 3, 1, 1)
    assert (verdict.lost, verdict.doubled) == (0, 0)


def test_a_missing_row_is_a_loss() -> None:
    verdict = _judged(rows=_EFFECTS[1:])
    assert verdict.faults == {"lost_rows": ["run-0"]}
    assert verdict.lost == 1


def test_a_missing_output_event_is_a_loss() -> None:
    verdict = _judged(events=_EFFECTS[:2])
    assert verdict.faults == {"lost_events": ["run-2"]}
    assert verdict.lost == 1


def test_an_event_without_any_effect_is_one_loss() -> None:
    assert _judged(rows=_EFFECTS[1:], events=_EFFECTS[1:]).lost == 1


def test_a_second_record_on_the_output_topic_is_a_double_effect_even_if_it_is_a_faithful_copy() -> None:
    verdict = _judged(events=[*_EFFECTS, _EFFECTS[1]])
    assert verdict.faults == {"double_events": ["run-1"]}
    assert verdict.doubled == 1


def test_a_second_row_under_another_decision_id_is_a_double_effect() -> None:
    other = replace(_effect("run-1", decision_id="id-other"), decision_id="id-other")
    verdict = _judged(rows=[*_EFFECTS, other])
    assert verdict.faults == {"double_rows": ["run-1"], "differing": ["run-1"]}
    assert verdict.doubled == 1


def test_a_changed_row_differs_from_its_event() -> None:
    changed = _effect("run-2", action="block")
    assert _judged(rows=[*_EFFECTS[:2], changed]).faults == {"differing": ["run-2"]}


def test_an_event_under_another_key_than_its_row_differs() -> None:
    moved = replace(_EFFECTS[0], key=b"another author")
    assert _judged(events=[moved, *_EFFECTS[1:]]).faults == {"differing": ["run-0"]}


def test_two_decisions_that_were_exchanged_are_about_another_content() -> None:
    first, second = (
        _effect("run-0", content_id="content-run-1"),
        _effect("run-1", content_id="content-run-0"),
    )
    exchanged = [first, second, _EFFECTS[2]]
    assert _judged(rows=exchanged, events=exchanged).faults == {"misattributed": ["run-0", "run-1"]}


def test_a_field_below_the_first_level_can_be_expected() -> None:
    published = _published()
    published.good["run-0"] = {"labels/hate.sexism": 0.5}
    right = _effect("run-0", labels={"hate.sexism": 0.5})
    wrong = _effect("run-0", labels={"hate.sexism": 0.6})
    assert not _judged([right, *_EFFECTS[1:]], [right, *_EFFECTS[1:]], published=published).faults
    assert _judged([wrong, *_EFFECTS[1:]], [wrong, *_EFFECTS[1:]], published=published).misattributed == ["run-0"]


def test_a_good_event_that_was_dead_lettered_is_a_fault() -> None:
    letter = DeadLetter((0, 1), b"author", b'{"id": "run-1"}', (), "internal", "run-1")
    assert _judged(dead_rows=[_LETTER, letter]).faults == {"dead_lettered": ["run-1"]}


def test_a_planted_bad_event_without_a_row_or_without_a_record_is_lost() -> None:
    assert _judged(dead_rows=[]).faults == {"lost_dead_letters": ["run-r0"]}
    assert _judged(dead_records=[]).faults == {"lost_dead_letters": ["run-r0"]}


def test_a_planted_bad_event_with_another_byte_header_key_or_reason_is_a_fault() -> None:
    for changed in (
        replace(_LETTER, key=b"other"),
        replace(_LETTER, headers=_BAD.headers[:1]),
        replace(_LETTER, reason="not_json"),
    ):
        assert _judged(dead_records=[changed]).faults == {
            "lost_dead_letters": ["run-r0"],
            "wrong_dead_letters": ["run-r0"],
        }
    assert "lost_dead_letters" in _judged(dead_records=[replace(_LETTER, value=_BAD.value + b" ")]).faults


def test_two_rows_for_one_bad_record_are_a_double_effect_and_two_records_are_not() -> None:
    assert _judged(dead_rows=[_LETTER, _LETTER]).faults == {"double_dead_letters": ["run-r0"]}
    verdict = _judged(dead_records=[_LETTER, _LETTER])
    assert not verdict.faults
    assert verdict.dead_letter_copies == 1


def test_a_bad_event_that_the_publisher_had_to_send_twice_has_two_letters_of_different_origin() -> None:
    letters = [_LETTER, replace(_LETTER, origin=(0, 8))]
    assert not _judged(dead_rows=letters, dead_records=letters).faults
    assert _judged(dead_rows=letters).faults == {"lost_dead_letters": ["run-r0"]}


def test_an_effect_of_an_event_that_was_never_published_is_a_fault() -> None:
    assert _judged(rows=[*_EFFECTS, _effect("run-99")]).faults == {"strangers": ["run-99"]}


def test_effects_of_other_runs_are_ignored() -> None:
    others = [_effect("other-0")]
    letters = [DeadLetter((1, 1), None, b"their rubbish", (), "not_json")]
    assert not _judged([*_EFFECTS, *others], [*_EFFECTS, *others], [_LETTER, *letters], [_LETTER, *letters]).faults


def test_a_record_on_the_output_topic_that_is_no_decision_is_a_fault_of_every_run() -> None:
    assert _judged(events=[*_EFFECTS, Effect("content.decided[0] 3", "", None, {})]).faults == {
        "strangers": ["content.decided[0] 3"]
    }


def test_an_event_that_the_broker_never_took_is_a_fault_of_the_tool_and_said_so() -> None:
    published = _published()
    del published.acknowledged["run-2"]
    assert _judged(_EFFECTS[:2], _EFFECTS[:2], published=published).faults == {
        "unacknowledged": ["run-2"],
        "lost_rows": ["run-2"],
        "lost_events": ["run-2"],
    }


@given(
    rows=st.lists(st.sampled_from(_EFFECTS), max_size=8),
    events=st.lists(st.sampled_from(_EFFECTS), max_size=8),
)
def test_a_run_is_flawless_exactly_when_every_event_has_one_row_and_one_record(
    rows: list[Effect], events: list[Effect]
) -> None:
    names = sorted(_EVENTS)
    flawless = sorted(r.event_id for r in rows) == names and sorted(e.event_id for e in events) == names
    assert (not _judged(rows=rows, events=events).faults) == flawless
