"""How much an evaluation takes: `standard` is what a model card quotes, `quick` says in a minute whether anything is badly wrong.

Sizes are texts; `None` is all of them. On two cores the engine scores 300 to 700 texts a second, and `standard` must stay below
ten minutes with everything around it.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.errors import ConfigurationError

__all__ = ["SUITES", "Suite", "suite_named"]


@dataclass(frozen=True, slots=True)
class Suite:
    """Sizes of the parts."""

    name: str
    rounds: int  # of the bootstrap
    labels: int | None  # test texts, all sources
    task: int | None  # texts of each task's test split
    tuning: int | None  # texts of each task's validation split
    baselines: bool  # fit those that are not cached
    identity: int  # templates per language
    evasion: int  # positives, and as many negatives, per evasion and language
    outside: int  # texts of each outside set
    long_texts: int  # the same where texts are posts of several windows
    agreement: int
    explained: int  # flagged texts per language


SUITES = (
    Suite(
        "standard", rounds=300, labels=None, task=None, tuning=None, baselines=True, identity=4_000, evasion=400,
        outside=4_000, long_texts=600, agreement=2_000, explained=60,
    ),
    Suite(
        "quick", rounds=50, labels=1_500, task=400, tuning=300, baselines=False, identity=300, evasion=40,
        outside=300, long_texts=40, agreement=100, explained=10,
    ),
)  # fmt: skip


def suite_named(name: str) -> Suite:
    """The suite of this name.

    Raises:
        ConfigurationError: there is none.
    """
    for suite in SUITES:
        if suite.name == name:
            return suite
    raise ConfigurationError(f"there is no suite {name!r}; known: {', '.join(suite.name for suite in SUITES)}")
