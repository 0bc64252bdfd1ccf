"""Names of topics, with the prefix that lets several deployments share one Kafka."""

from __future__ import annotations

import re
from functools import cache

from services.errors import ConfigurationError

__all__ = ["topic_name"]

#: What Kafka allows. Longer names fail in the broker, with a message that names no setting.
_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,249}")


@cache
def topic_name(prefix: str, topic: str) -> str:
    """`topic` as it is called in Kafka: `topic_name("eu.", "content.submitted")` is `eu.content.submitted`.

    Raises:
        ConfigurationError: Kafka would not accept the name.
    """
    name = prefix + topic
    if not _LEGAL.fullmatch(name):
        raise ConfigurationError(
            f"TIDEGATE_TOPIC_PREFIX makes the topic name {name!r}: Kafka takes letters, digits, '.', '_' and '-', "
            "at most 249 of them"
        )
    return name
