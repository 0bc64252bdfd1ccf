"""Which topics exist, and creating those that are missing. Promises: idempotent, and never changes a topic that exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from services.errors import ConfigurationError, TransientError
from services.messaging.clients import admin_client

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["create_missing_topics", "require_topic"]

#: A person waits for the answer.
_PATIENCE_MS = 5_000
#: Twice Kafka's default limit: whatever an input topic took fits, with the headers that say why it is a dead letter.
_DEAD_LETTER_BYTES = 2 * 1024 * 1024


def create_missing_topics(settings: Settings, topics: Iterable[str]) -> list[str]:
    """Create those of `topics` (full names) that do not exist; returns their names.

    Raises:
        TransientError: Kafka cannot be reached or refused.
    """
    created: list[str] = []
    try:
        admin = admin_client(settings, "tidegate-prepare")
        try:
            existing = set(admin.list_topics())
            for name in sorted(set(topics) - existing):
                configs = {"max.message.bytes": str(_DEAD_LETTER_BYTES)} if name.endswith(".dlq") else None
                topic = NewTopic(name, settings.topic_partitions, settings.topic_replication, topic_configs=configs)
                try:
                    admin.create_topics([topic])
                except TopicAlreadyExistsError:
                    continue  # another process was quicker
                created.append(name)
        finally:
            admin.close()
    except KafkaError as error:
        raise TransientError(f"Kafka at {settings.kafka_bootstrap}: {type(error).__name__}: {error}") from error
    return created


def require_topic(settings: Settings, topic: str) -> None:
    """Find out now whether `topic` (its full name) exists, rather than at the first record.

    Raises:
        TransientError: Kafka does not answer.
        ConfigurationError: there is no such topic; the message says how to make it.
    """
    try:
        admin = admin_client(settings, "tidegate-topics", patience_ms=_PATIENCE_MS)
        try:
            existing = set(admin.list_topics())
        finally:
            admin.close()
    except KafkaError as error:
        raise TransientError(f"Kafka at {settings.kafka_bootstrap} does not answer ({type(error).__name__})") from error
    if topic not in existing:
        raise ConfigurationError(
            f"Kafka at {settings.kafka_bootstrap} has no topic {topic}: create it with `tidegate up` or "
            "`python -m consumers.prepare`, or set TIDEGATE_TOPIC_PREFIX as the deployment does"
        )
