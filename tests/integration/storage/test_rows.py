"""Rows of a query for training, from a real Postgres."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.errors import ConfigurationError, TransientError
from services.storage import stream_rows
from services.training.config import PostgresConfig
from services.training.data.query_rows import keep_rows, kept_rows
from tests.integration.servers import Deployment


@pytest.fixture
def dsn(deployment: Deployment) -> str:
    return deployment.settings.postgres_dsn.get_secret_value()


def test_rows_come_by_column_name_and_are_kept_for_their_owner(dsn: str, tmp_path: Path) -> None:
    query = "SELECT 'text ' || n AS text, (n % 2)::numeric AS toxicity, NULL AS spam FROM generate_series(1, 3000) AS n"
    config = PostgresConfig(query=query)
    target = kept_rows(tmp_path, config)
    keep_rows(config, target, lambda text: stream_rows(dsn, text))
    rows = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 3000
    assert rows[0] == {"text": "text 1", "toxicity": "1", "spam": None}
    assert target.stat().st_mode & 0o777 == 0o600


def test_another_query_is_kept_elsewhere(tmp_path: Path) -> None:
    assert kept_rows(tmp_path, PostgresConfig(query="SELECT 1")) != kept_rows(
        tmp_path, PostgresConfig(query="SELECT 2")
    )


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM nowhere",
        "DELETE FROM review_decision RETURNING 1",
        "SELECT 1 / (3 - n) FROM generate_series(1, 3) AS n",
    ],
)
def test_a_query_that_fails_or_would_write_keeps_nothing(dsn: str, tmp_path: Path, query: str) -> None:
    config = PostgresConfig(query=query)
    with pytest.raises(ConfigurationError, match="the query for training data fails"):
        keep_rows(config, kept_rows(tmp_path, config), lambda text: stream_rows(dsn, text))
    assert not kept_rows(tmp_path, config).exists()


def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match="Postgres cannot be reached"):
        list(stream_rows("postgresql://nobody@127.0.0.1:1/none", "SELECT 1"))
