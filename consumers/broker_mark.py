"""A mark beside the queues in Valkey: when Valkey loses what it holds (a restart, a flush), the mark is gone with it.

Promises: `lost` is true once after each loss that happened since it was last asked, for each process that asks; the first call sets
the mark or learns it, and says False. It does not say which batches were lost.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import redis

from services.errors import TransientError

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["BrokerMark"]


class BrokerMark:
    """One process's view of the mark. Connects when it is first used."""

    def __init__(self, settings: Settings, *, answer_within_s: float) -> None:
        self._client = redis.Redis.from_url(
            settings.valkey_url.get_secret_value(),
            socket_timeout=answer_within_s,
            socket_connect_timeout=answer_within_s,
            decode_responses=True,
        )
        self._key = f"{settings.topic_prefix}tidegate:mark"
        self._known: str | None = None

    def lost(self) -> bool:
        """Whether what lay in the broker is gone.

        Raises:
            TransientError: the broker does not answer.
        """
        fresh = uuid.uuid4().hex
        try:
            mark = fresh if self._client.set(self._key, fresh, nx=True) else self._client.get(self._key)
        except redis.RedisError as error:
            raise TransientError(f"the Celery broker does not answer: {type(error).__name__}") from error
        if mark is None:  # lost between the two questions: the next call finds another mark
            return False
        before, self._known = self._known, str(mark)
        return before not in {None, self._known}
