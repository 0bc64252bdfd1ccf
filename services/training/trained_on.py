"""What a run was trained on, and whether the data at hand still keeps that apart from what it is tested on.

A file that names its own split may put a text into the test part that was in the training part yesterday; where texts are split by
their hash, or by their group's first line, each stays on its side whatever is added. Promises: a figure of such a file is refused, not
warned of, because nobody could see in it that it is too good. Data sets that the run does not know were not trained on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.errors import ConfigurationError

if TYPE_CHECKING:
    from services.training.data.dataset import SourceManifest

__all__ = ["DATA_FILE", "check_held_out", "trained_on"]

#: In a run's folder: the manifest of its data, written when it has been trained.
DATA_FILE = "data.json"
#: The split that depends on a text (of a contrast group: on its first line) alone.
_STABLE = "hash"


def trained_on(run: Path) -> list[dict[str, Any]]:
    """The manifest of the data that the run was trained on; empty when it kept none.

    Raises:
        ConfigurationError: the file is damaged.
    """
    path = run / DATA_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return [dict(entry) for entry in content]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{path} is damaged ({type(error).__name__}): train again") from error


def check_held_out(run: Path, here: Sequence[SourceManifest]) -> None:
    """Refuse data whose test or validation texts may be among those that the run learned.

    Raises:
        ConfigurationError: a set that was trained on has another split now, or names its own and has changed; the message names it.
    """
    now = {entry.name: entry for entry in here}
    for before in trained_on(run):
        entry = now.get(str(before.get("name")))
        if entry is None or not before.get("train"):
            continue
        if entry.split != before.get("split"):
            change = f"was split by {before.get('split')!r} when {run} was trained, and is split by {entry.split!r} now"
        elif entry.split != _STABLE and entry.sha256 != before.get("sha256"):
            change = f"names its own split ({entry.split!r}) and has changed since {run} was trained"
        else:
            continue
        raise ConfigurationError(
            f"{entry.name} {change}: held-out texts may be among those that were learned, and figures of them would be too good. Put "
            f"the data back as it was, or train again"
        )
