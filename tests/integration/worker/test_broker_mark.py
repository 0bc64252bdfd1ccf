"""The mark in a real Valkey, which a restart and a flush take away."""

from __future__ import annotations

import pytest
import redis

from consumers.broker_mark import BrokerMark
from services.errors import TransientError
from services.settings import make_settings
from tests.integration.servers import Deployment


def test_each_loss_is_noticed_once_by_everyone(deployment: Deployment) -> None:
    url = deployment.settings.valkey_url.get_secret_value()
    marks = [BrokerMark(deployment.settings, answer_within_s=5) for _ in range(2)]
    assert [mark.lost() for mark in marks * 2] == [False] * 4
    for _ in range(2):
        # What a flush does, without taking the queues of other tests.
        with redis.Redis.from_url(url) as client:
            assert client.delete(f"{deployment.settings.topic_prefix}tidegate:mark") == 1
        assert [mark.lost() for mark in marks * 2] == [True, True, False, False]


def test_a_valkey_that_is_away_is_an_outage() -> None:
    mark = BrokerMark(make_settings(valkey_url="redis://127.0.0.1:1/0"), answer_within_s=0.5)
    with pytest.raises(TransientError, match="does not answer"):
        mark.lost()
