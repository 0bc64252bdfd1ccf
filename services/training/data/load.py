"""All sources of a configuration as one dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import ConfigurationError
from services.training.data.dataset import Dataset, load_dataset
from services.training.data.own_examples import EXAMPLES, own_sources
from services.training.data.sources import SOURCES, Source
from services.training.data.tables import postgres_source, table_source

if TYPE_CHECKING:
    from services.training.config import TrainConfig

__all__ = ["load_config_data", "sources_of"]


def sources_of(config: TrainConfig) -> list[tuple[Source, Path]]:
    """Every (source, folder) that the configuration names.

    Raises:
        ConfigurationError: it names none, or a set to leave out that does not exist.
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
    if data.postgres:
        from services.settings import load_settings
        from services.storage import stream_rows

        dsn = load_settings().postgres_dsn.get_secret_value()
        sources += [(postgres_source(one, lambda query: stream_rows(dsn, query)), Path()) for one in data.postgres]
    if not sources:
        raise ConfigurationError("the configuration names no data: give data.tables, data.public or data.own_examples")
    return sources


def load_config_data(config: TrainConfig) -> Dataset:
    """The cleaned, split and balanced data of a configuration."""
    data = config.data
    return load_dataset(
        sources_of(config), seed=config.seed, max_texts=data.max_texts, evasion_share=data.evasion_share
    )
