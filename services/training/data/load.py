"""All sources of a configuration as one dataset."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import ConfigurationError
from services.training.data.dataset import Dataset, load_dataset
from services.training.data.own_examples import EXAMPLES, own_sources
from services.training.data.query_rows import keep_rows, kept_rows
from services.training.data.sources import SOURCES, Source
from services.training.data.tables import postgres_source, table_source

if TYPE_CHECKING:
    from services.training.config import PostgresConfig, TrainConfig

__all__ = ["load_config_data", "sources_of"]


def sources_of(config: TrainConfig, run: Path, *, fetch: bool = False) -> list[tuple[Source, Path]]:
    """Every (source, folder) that the configuration names. Rows of queries are kept in `run`; `fetch` gets those that are not there.

    Raises:
        ConfigurationError: it names none, a set to leave out that does not exist, or a query whose rows nobody has fetched.
    """
    data = config.data
    unknown = sorted(data.without - {source.name for source in SOURCES})
    if unknown:
        raise ConfigurationError(f"data.without names no known set: {', '.join(unknown)}")
    sources: list[tuple[Source, Path]] = []
    if data.public is not None:
        sources += [(source, data.public / source.name) for source in SOURCES if source.name not in data.without]
    if data.own_examples:
        sources += [(source, EXAMPLES) for source in own_sources()]
    sources += [(table_source(table), table.path.parent) for table in data.tables]
    for query in data.postgres:
        kept = kept_rows(run, query)
        if not kept.is_file():
            _fetch(query, kept, fetch=fetch)
        sources.append((postgres_source(query, kept), kept.parent))
    if not sources:
        raise ConfigurationError("the configuration names no data: give data.tables, data.public or data.own_examples")
    strange = data.repeats.keys() - {source.name for source, _ in sources}
    if strange:
        raise ConfigurationError(
            f"data.repeats names sets that the configuration does not have: {', '.join(sorted(strange))}"
        )
    return [
        (replace(source, repeat=data.repeats.get(source.name, source.repeat)), folder) for source, folder in sources
    ]


def _fetch(query: PostgresConfig, kept: Path, *, fetch: bool) -> None:
    if not fetch:
        raise ConfigurationError(
            f"{query.name}: {kept} is missing, the rows that the run was trained on. `tidegate train` writes it: name the run's "
            f"folder with --run, or train again"
        )
    if not os.environ.get("TIDEGATE_POSTGRES_DSN"):
        raise ConfigurationError(
            f"{query.name}: say where the rows are with TIDEGATE_POSTGRES_DSN=postgresql://USER@HOST:PORT/DATABASE in the environment"
        )
    from services.settings import load_settings
    from services.storage import stream_rows

    dsn = load_settings().postgres_dsn.get_secret_value()
    keep_rows(query, kept, lambda text: stream_rows(dsn, text))


def load_config_data(config: TrainConfig, run: Path, *, fetch: bool = False) -> Dataset:
    """The cleaned, split and balanced data of a configuration; `run` and `fetch` as in `sources_of`."""
    data = config.data
    fetched = [kept for query in data.postgres if not (kept := kept_rows(run, query)).is_file()]
    try:
        return load_dataset(
            sources_of(config, run, fetch=fetch),
            seed=config.seed,
            max_texts=data.max_texts,
            evasion_share=data.evasion_share,
            surround_share=data.surround_share,
        )
    except ConfigurationError:
        for kept in fetched:  # rows that cannot be used are mended in their table, and then fetched again
            kept.unlink(missing_ok=True)
        raise
