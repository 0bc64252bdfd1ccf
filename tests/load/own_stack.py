"""An embedded stack of its own, in a fresh folder, for a tool that measures or breaks it.

Promises: the stack that the person may have running is neither found nor touched: no `TIDEGATE_*` variable of the caller
reaches the processes, and the data lies in a folder that is new and removed at the end.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded import StackState, stack_environment
from services.settings import Settings, make_settings

__all__ = ["NULL_MODELS", "environment_of", "new_folder", "scratch_folder", "settings_of"]

#: A `review` model that computes nothing.
NULL_MODELS = Path(__file__).parent / "model_repo"

_CHECKOUT = Path(__file__).resolve().parents[2]


def new_folder(purpose: str) -> Path:
    """A new folder that Postgres' own user may enter. Whoever makes it removes it."""
    folder = Path(tempfile.mkdtemp(prefix=f"tidegate-{purpose}-"))
    folder.chmod(0o755)
    return folder


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """A new folder for the time of the block."""
    folder = new_folder(purpose)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def environment_of(settings: Mapping[str, str]) -> Iterator[None]:
    """For the time of the block, processes inherit these `TIDEGATE_*` variables and none else.

    Capabilities of the tests must be importable there, so the checkout is put on the module path.
    """
    before = dict(os.environ)
    try:
        for name in [name for name in os.environ if name.startswith("TIDEGATE_")]:
            del os.environ[name]
        os.environ.update(settings)
        os.environ["PYTHONPATH"] = str(_CHECKOUT)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def settings_of(state: StackState) -> Settings:
    """The settings with which the processes of this stack run. Call it inside the `environment_of` that it was started in."""
    return make_settings(
        **{name.removeprefix("TIDEGATE_").lower(): value for name, value in stack_environment(state).items()}
    )
