"""Which texts belong together, so that a split never tears them apart: the two sides of a contrast, a text and its cloaked copies."""

from __future__ import annotations

from dataclasses import dataclass

from services.training.data.sources import Example

__all__ = ["GroupedExample", "group_of"]


@dataclass(frozen=True, slots=True)
class GroupedExample(Example):
    """An example of a source that knows its groups. `group` names the group, unlike that of every other source."""

    group: str = ""


def group_of(example: Example) -> str:
    """The name of its group; an example of a source without groups has only itself, by its text."""
    return example.group if isinstance(example, GroupedExample) else example.text
