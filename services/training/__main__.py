"""`python -m services.training`: the training commands without the rest of the command line."""

from __future__ import annotations

import sys

from services.errors import ConfigurationError
from services.training.commands import app

if __name__ == "__main__":
    try:
        app()
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
