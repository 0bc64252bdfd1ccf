"""The `tidegate` command. The one place in `services` that may put everything together, the processes included."""

from services.cli.root import main

__all__ = ["main"]
