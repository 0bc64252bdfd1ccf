"""What the processes say of themselves: metrics, logs and health."""

from services.telemetry.health import Health, serve_health
from services.telemetry.logging import configure_logging, get_logger

__all__ = ["Health", "configure_logging", "get_logger", "serve_health"]
