"""The limit that stops consumption when the deployment, not the messages, must be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dispatcher.dead_letter_limit import DeadLetterLimit
from services.errors import DeadLetterReason

OURS = [
    DeadLetterReason.MODEL_ERROR,
    DeadLetterReason.MODEL_CRASH,
    DeadLetterReason.WORKER_LOST,
    DeadLetterReason.INTERNAL,
]
SENDERS = [reason for reason in DeadLetterReason if reason not in OURS]


@pytest.mark.parametrize("reason", OURS)
def test_accepted_messages_that_fail_in_a_row_hit_the_limit(reason: DeadLetterReason) -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=10)
    assert [limit.dead_letter(reason) for _ in range(9)] == [None] * 9
    assert limit.dead_letter(reason) == f"10 accepted messages in a row failed, the last for {reason}"


def test_one_success_begins_the_count_anew() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=3)
    for _ in range(20):
        assert limit.dead_letter(DeadLetterReason.INTERNAL) is None
        assert limit.dead_letter(DeadLetterReason.INTERNAL) is None
        limit.success()


def test_a_batch_without_a_single_success_does_not_begin_the_count_anew() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=10)
    answers = []
    for _ in range(5):
        limit.success(0)
        answers += [limit.dead_letter(DeadLetterReason.INTERNAL) for _ in range(2)]
    assert answers[-1] is not None


@given(st.lists(st.sampled_from(SENDERS), max_size=200))
def test_a_flood_of_rubbish_does_not_stop_the_flow(reasons: list[DeadLetterReason]) -> None:
    limit = DeadLetterLimit(max_ratio=0.01, max_consecutive=3)
    assert all(limit.dead_letter(reason) is None for reason in reasons)


def test_rubbish_without_a_single_good_message_is_too_much_in_the_end() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=3)
    answers = [limit.dead_letter(DeadLetterReason.NOT_JSON) for _ in range(300)]
    assert answers[:-1] == [None] * 299
    assert answers[-1] == "300 messages in a row were dead-lettered, the last for not_json"


def test_a_large_share_of_failures_hits_the_limit_although_some_succeed() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=10_000)
    answers = []
    for _ in range(400):
        limit.success()
        answers += [limit.dead_letter(DeadLetterReason.MODEL_ERROR) for _ in range(2)]
    assert any(answers)
    assert next(a for a in answers if a).startswith("2")
    assert all(a is None for a in answers[: 2 * 400 // 3])  # never before the window is full


def test_a_share_below_the_limit_goes_on_for_ever() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=10_000)
    for _ in range(2000):
        limit.success(2)
        assert limit.dead_letter(DeadLetterReason.MODEL_ERROR) is None


def test_failures_that_left_the_window_do_not_count() -> None:
    limit = DeadLetterLimit(max_ratio=0.5, max_consecutive=10_000)
    for _ in range(200):
        limit.dead_letter(DeadLetterReason.MODEL_ERROR)
    limit.success(400)
    for _ in range(200):
        assert limit.dead_letter(DeadLetterReason.MODEL_ERROR) is None
