"""Creating the topics that are missing. Promises: idempotent, and never changes a topic that exists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from services.errors import TransientError
from services.messaging.clients import admin_client

if TYPE_CHECKING:
    from services.settings import Settings

__all__ = ["create_missing_topics"]


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
                topic = NewTopic(name, settings.topic_partitions, settings.topic_replication)
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
