"""Where a model comes from: what training starts from, and the versions behind that, with all the data that is in the weights.

Promises: a run starts from what it says it started from, by content where there are files and by name where there is only a hub's
name; a version trained on from another carries that version's data sets and licences, and those of the versions before it. A
version without a readable record has unknown data, which shows as an empty list. No text, and no path of the machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training.versions import Ancestor, fingerprint, read_record, write_atomically

__all__ = [
    "START_FILE",
    "Start",
    "ancestors_of",
    "check_start",
    "data_changed_since",
    "is_served",
    "name_of",
    "start_of",
    "write_start",
]

START_FILE = "start.json"

_BASE_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_OWN = "own_"


@dataclass(frozen=True, slots=True)
class Start:
    """What training starts from; `files` are the sha256 of its files, none for a name on a hub."""

    name: str
    files: dict[str, str]


def is_served(folder: Path) -> bool:
    """Whether the folder holds what the engine loads."""
    return all((folder / name).is_file() for name in MODEL_FILES)


def name_of(base: str) -> str:
    """How a record names what was started from: a hub name as it is, of a folder no more than its name."""
    folder = Path(base)
    if is_served(folder):
        return f"{folder.resolve().parent.name} version {folder.name}"
    return base if "/" in base and not folder.is_dir() else folder.name


def start_of(base: str) -> Start:
    """What `base` (a folder, a hub name or a served version) names at this moment."""
    folder = Path(base)
    names = MODEL_FILES if is_served(folder) else _BASE_FILES
    files = {name: fingerprint(folder / name).sha256 for name in names if (folder / name).is_file()}
    return Start(name_of(base), files)


def write_start(folder: Path, start: Start) -> None:
    """Keep beside a prepared model what it was prepared from."""
    write_atomically(folder / START_FILE, json.dumps(asdict(start), indent=1) + "\n")


def check_start(folder: Path, start: Start) -> None:
    """That the model prepared in `folder` is of this start. One prepared before starts were kept is taken as it is.

    Raises:
        ConfigurationError: it is of another start; the message names both.
    """
    try:
        kept = json.loads((folder / START_FILE).read_text(encoding="utf-8"))
        before = Start(str(kept["name"]), dict(kept["files"]))
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{folder / START_FILE} is damaged: remove {folder}, or use another --out") from error
    if before == start:
        return
    now = f"{start.name}, whose files have changed since" if before.name == start.name else start.name
    raise ConfigurationError(
        f"the run in {folder.parent} started from {before.name}, and is now to start from {now}: use another --out for another start"
    )


def ancestors_of(base: str) -> list[Ancestor]:
    """The versions that training from `base` goes on from, the nearest first; none unless it is a served version."""
    folder = Path(base)
    if not is_served(folder):
        return []
    record = read_record(folder)
    nearest = Ancestor(
        name=name_of(base),
        base=record.base if record else {},
        files={name: fingerprint(folder / name) for name in MODEL_FILES},
        data=record.data if record else [],
    )
    return [nearest, *(record.ancestors if record else [])]


def data_changed_since(ancestors: Sequence[Ancestor], here: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A sentence for each ancestor that was trained on other files of a data set that is here under the same name.

    `here` has the sha256 of each file of each data set.
    """
    sentences = []
    for ancestor in ancestors:
        changed = [
            str(entry["name"])
            for entry in ancestor.data
            if entry.get("train") and here.get(str(entry.get("name")), entry.get("sha256")) != entry.get("sha256")
        ]
        own = [name for name in changed if name.startswith(_OWN)]
        others = [name for name in changed if name not in own]
        if others:
            sentences.append(
                f"{', '.join(others)}: {ancestor.name} was trained on other files of this name, so texts that are held out "
                f"here may be among those that it learned; their figures may be too good"
            )
        if own:
            sentences.append(
                f"{len(own)} files of the project's own examples have changed since {ancestor.name}, as they may: a group stays on its "
                f"side of the split as long as it keeps its first line"
            )
    return sentences
