"""Topic names are what Kafka allows, or the operator is told which setting is wrong."""

from __future__ import annotations

import pytest

from services.errors import ConfigurationError
from services.events import topic_name


@pytest.mark.parametrize(
    ("prefix", "name"),
    [("", "content.submitted"), ("eu.", "eu.content.submitted"), ("team_a-", "team_a-content.submitted")],
)
def test_the_prefix_stands_before_the_name(prefix: str, name: str) -> None:
    assert topic_name(prefix, "content.submitted") == name


@pytest.mark.parametrize("prefix", ["a b", "é", "a/", "x" * 240, "a\n"])
def test_a_prefix_that_kafka_would_refuse_is_a_configuration_error(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match="TIDEGATE_TOPIC_PREFIX"):
        topic_name(prefix, "content.submitted")
