"""Structured JSON logs on standard error, one object a line.

Promises: every line has `timestamp`, `level`, `event` and the process's `component`. It does not promise to hide what a
caller passes in: callers log ids (event, decision, batch), partitions and offsets, and never a text or a secret.
"""

from __future__ import annotations

import logging
import sys

import structlog

__all__ = ["configure_logging", "get_logger"]


def configure_logging(component: str, level: str = "INFO") -> None:
    """Route structlog and the standard library's loggers through one JSON renderer. Call once, at process start."""

    def name_component(_logger: object, _method: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
        event["component"] = component  # not a context variable: those do not reach other threads
        return event

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_component,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Else a handler that fails (a full disk) prints the traceback of whatever is handled then, which may quote a text.
    logging.raiseExceptions = False
    # The Kafka client reports each attempt to reconnect as an error, several a second while a broker is away, and slow first
    # imports as warnings. What matters of it reaches us as exceptions and shows as an open circuit.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose keyword arguments become fields of the JSON line."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
