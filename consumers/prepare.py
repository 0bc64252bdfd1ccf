"""`python -m consumers.prepare`: create the missing topics and run the missing migrations. Idempotent; any number at once."""

from __future__ import annotations

import sys

from services.capabilities import Capability, load_capabilities
from services.errors import TidegateError
from services.events import topic_name
from services.messaging import create_missing_topics
from services.settings import Settings, load_settings
from services.storage import SPINE_MIGRATIONS, migrate
from services.telemetry import configure_logging, get_logger

__all__ = ["main", "prepare"]

_log = get_logger(__name__)


def prepare(settings: Settings, capabilities: dict[str, Capability]) -> None:
    """Make everything that dispatcher and workers expect to find.

    Raises:
        TransientError: Kafka or Postgres cannot be reached.
        ConfigurationError: a migration is wrong.
    """
    topics = [
        topic_name(settings.topic_prefix, topic)
        for c in capabilities.values()
        for topic in (c.input.topic, c.input.dead_letter_topic, c.output.topic)
    ]
    created = create_missing_topics(settings, topics)
    folders = {"spine": SPINE_MIGRATIONS} | {c.name: c.migrations for c in capabilities.values()}
    ran = migrate(settings.postgres_dsn.get_secret_value(), folders)
    _log.info("prepared", topics_created=created, migrations_run=ran)


def main() -> int:
    """Entry point; the exit code is 0 when everything is there."""
    try:
        settings = load_settings()
        configure_logging("prepare", settings.log_level)
        prepare(settings, load_capabilities(settings))
    except TidegateError as error:
        _log.critical("cannot prepare", problem=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
