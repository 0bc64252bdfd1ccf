"""What a training run is made of, as one YAML file. `tidegate train review --config my.yaml` reads it.

Promises: a mistake is one message that names file and field; paths are relative to the file; the same file, data and seed give
the same run. `configs/review.yaml` beside this module is the one that made the shipped model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.errors import ConfigurationError
from services.training.data.labels import LABELS

__all__ = [
    "DEFAULT_BASE",
    "SHIPPED_CONFIG",
    "DataConfig",
    "PostgresConfig",
    "TableConfig",
    "TrainConfig",
    "load_config",
]

#: The base model's name on the model hub. A folder with the same files does as well.
DEFAULT_BASE = "intfloat/multilingual-e5-small"
SHIPPED_CONFIG = Path(__file__).parent / "configs" / "review.yaml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TableConfig(_Strict):
    """A CSV or JSONL file of the user's. An empty label cell, null or NaN means that nobody decided."""

    path: Path
    format: Literal["csv", "jsonl"] | None = None  # from the name's ending
    text: str = "text"
    #: Label → column. Left out: every column that is named like a label.
    labels: dict[str, str] = {}
    language: Literal["zh", "en"] | None = None  # told apart text by text
    encoding: str = "utf-8-sig"
    licence: str = "own"
    #: Column with train, valid or test. Left out: a fifth is test, a tenth validation, by a hash of the text.
    split: str | None = None
    #: Training texts taken at most, chosen evenly from the whole file while it streams by.
    cap: int = Field(200_000, ge=1)
    repeat: int = Field(1, ge=1, le=20)
    #: False: for evaluation only (a licence that forbids training, for instance).
    trainable: bool = True


class PostgresConfig(_Strict):
    """Rows of a query with the columns of a table: a text and labels. The connection is TIDEGATE_POSTGRES_DSN's."""

    name: str = "postgres"
    query: str
    text: str = "text"
    labels: dict[str, str] = {}
    language: Literal["zh", "en"] | None = None
    licence: str = "own"
    cap: int = Field(200_000, ge=1)
    repeat: int = Field(1, ge=1, le=20)
    trainable: bool = True


class DataConfig(_Strict):
    """Where texts come from. At least one of them must be given."""

    #: Folder with the public sets, one sub-folder each; None takes none of them.
    public: Path | None = None
    #: Names of public sets to leave out.
    without: frozenset[str] = frozenset()
    #: Source → how often an epoch shows each of its texts, instead of its own number: what a model still gets wrong, more often.
    repeats: dict[str, Annotated[int, Field(ge=1, le=20)]] = {}
    #: The examples that come with Tidegate.
    own_examples: bool = True
    tables: tuple[TableConfig, ...] = ()
    postgres: tuple[PostgresConfig, ...] = ()
    #: Share of training texts that are shown with an evasion (spacing, homophones, confusables ...).
    evasion_share: float = Field(0.2, ge=0, le=1)
    #: Share of training texts that are shown with harmless texts before or behind, so that harm among politeness is seen.
    surround_share: float = Field(0.0, ge=0, le=1)
    max_texts: int | None = Field(None, ge=1)


class TrainConfig(_Strict):
    """One run. Without `steps` and `minutes` it sees every text `epochs` times."""

    base: str = DEFAULT_BASE
    data: DataConfig = DataConfig()
    epochs: float = Field(1.0, gt=0)
    steps: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)
    batch: int = Field(32, ge=1)
    width: int = Field(128, ge=8, le=512)
    learning_rate: float = Field(1e-4, gt=0)
    head_learning_rate: float = Field(1e-3, gt=0)
    smoothing: float = Field(0.02, ge=0, lt=0.5)
    seed: int = 1
    threads: int = Field(2, ge=1)
    checkpoint_minutes: float = Field(3.0, gt=0)
    #: At the end, weights are averaged with those that training started from, which keep this share (WiSE-FT, Wortsman et al. 2022,
    #: arXiv:2109.01903). For training on from a model that already knows the task: less is forgotten.
    keep_of_start: float = Field(0.0, ge=0, lt=1)


def load_config(path: Path) -> TrainConfig:
    """Read and validate a configuration; relative paths in it are relative to its folder.

    Raises:
        ConfigurationError: it cannot be read, is not YAML, or has a field that does not fit; the message names it.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        config = TrainConfig.model_validate(content)
    except OSError as error:
        raise ConfigurationError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the configuration {path} is not YAML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"the configuration {path}: {problems}") from error
    given = [table.labels for table in config.data.tables] + [query.labels for query in config.data.postgres]
    for labels in given:
        unknown = sorted(set(labels) - set(LABELS))
        if unknown:
            raise ConfigurationError(
                f"the configuration {path}: there is no label {', '.join(unknown)}; known: {', '.join(LABELS)}"
            )
    return _rooted(config, path.resolve().parent)


def _rooted(config: TrainConfig, folder: Path) -> TrainConfig:
    data = config.data
    tables = tuple(table.model_copy(update={"path": folder / table.path}) for table in data.tables)
    public = None if data.public is None else folder / data.public
    base = folder / config.base
    update: dict[str, object] = {"data": data.model_copy(update={"tables": tables, "public": public})}
    if base.is_dir():
        update["base"] = str(base)
    return config.model_copy(update=update)
