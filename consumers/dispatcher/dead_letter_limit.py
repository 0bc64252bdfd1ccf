"""When so much is dead-lettered that the deployment, not the messages, must be wrong. Pure.

Two kinds count apart. What *senders* did (bytes that are no event) may come in floods, and a flood of rubbish must not stop the
flow; what *we* did (a model or pipeline that fails on what was accepted) means bad code after a few hundred in a row. After
arroyo's `DlqLimit`: "to prevent 100% of messages from going into the DLQ if bad code is deployed".
"""

from __future__ import annotations

from collections import deque

from services.errors import DeadLetterReason

__all__ = ["DeadLetterLimit"]

_OURS = frozenset(
    {
        DeadLetterReason.MODEL_ERROR,
        DeadLetterReason.MODEL_CRASH,
        DeadLetterReason.WORKER_LOST,
        DeadLetterReason.INTERNAL,
    }
)
#: Failures of senders in a row, with not one good message between them, that are more than a flood.
_SENDERS_FACTOR = 100
_WINDOW = 400


class DeadLetterLimit:
    """Watches outcomes in the order of their settlement."""

    def __init__(self, max_ratio: float, max_consecutive: int) -> None:
        self._max_ratio = max_ratio
        self._max_consecutive = max_consecutive
        self._recent: deque[bool] = deque(maxlen=_WINDOW)  # True: we failed
        self._our_failures = 0
        self._our_run = 0
        self._any_run = 0

    def success(self, count: int = 1) -> None:
        """`count` messages became results. None is no success: it must not end a run of failures."""
        if count == 0:
            return
        self._our_run = self._any_run = 0
        for _ in range(min(count, _WINDOW)):
            self._push(failed=False)

    def dead_letter(self, reason: DeadLetterReason) -> str | None:
        """One message is to be dead-lettered; returns why that must not go on, or None."""
        self._any_run += 1
        if self._any_run >= self._max_consecutive * _SENDERS_FACTOR:
            return f"{self._any_run} messages in a row were dead-lettered, the last for {reason}"
        if reason not in _OURS:
            return None
        self._our_run += 1
        self._push(failed=True)
        if self._our_run >= self._max_consecutive:
            return f"{self._our_run} accepted messages in a row failed, the last for {reason}"
        if len(self._recent) == _WINDOW and self._our_failures > self._max_ratio * _WINDOW:
            return f"{self._our_failures} of the last {_WINDOW} accepted messages failed, the last for {reason}"
        return None

    def _push(self, *, failed: bool) -> None:
        if len(self._recent) == _WINDOW:
            self._our_failures -= self._recent[0]
        self._recent.append(failed)
        self._our_failures += failed
