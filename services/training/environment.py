"""What a training command checks before it begins: that the model is one it knows, and that torch is installed here."""

from __future__ import annotations

from services.errors import ConfigurationError

__all__ = ["known_model", "needs_torch"]


def known_model(model: str) -> None:
    """Raises ConfigurationError for a model that is not trained here."""
    if model != "review":
        raise ConfigurationError(f"there is no model {model!r} to train; known: review")


def needs_torch() -> None:
    """Raises ConfigurationError in an environment without the training packages; the message says how to get them."""
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is not installed here. Training has an environment of its own: run `make train-env`, then this "
            "command with .venv-train/bin/tidegate"
        ) from error
