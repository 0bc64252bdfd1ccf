"""Bulk publishing on a real Kafka, and what one bad record does to the others."""

from __future__ import annotations

import random

import pytest

from services.errors import ConfigurationError
from services.events import topic_name
from services.messaging import Delivery, Publisher, require_topic
from tests.integration.servers import Deployment
from tests.integration.topics import read_topic

TOPIC = "content.submitted"
#: Larger than the broker takes, smaller than the client sends; noise, because a producer compresses.
TOO_LARGE = random.Random(1).randbytes(1_800_000)


def test_each_record_becomes_one_delivery_that_says_where_it_is(deployment: Deployment) -> None:
    topic = topic_name(deployment.settings.topic_prefix, TOPIC)
    deliveries: list[Delivery[int]] = []
    with Publisher[int](deployment.settings, "test") as publisher:
        for number in range(5000):  # more than the window
            deliveries += publisher.send(number, topic, b"%d" % (number % 7), b"%d" % number, [("n", b"%d" % number)])
        deliveries += publisher.drain()
    assert [delivery.subject for delivery in deliveries] == list(range(5000))
    stored = {(record.partition, record.offset): record.value for record in read_topic(deployment.settings, TOPIC)}
    assert {(d.partition, d.offset): b"%d" % d.subject for d in deliveries} == stored


def test_a_record_that_the_broker_refuses_costs_no_other_record(deployment: Deployment) -> None:
    topic = topic_name(deployment.settings.topic_prefix, TOPIC)
    deliveries: list[Delivery[int]] = []
    with Publisher[int](deployment.settings, "test") as publisher:
        for number in range(200):
            deliveries += publisher.send(number, topic, None, TOO_LARGE if number in {50, 120} else b"%d" % number)
        deliveries += publisher.drain()
    refused = {delivery.subject: delivery.refused for delivery in deliveries if delivery.refused}
    assert refused == {50: "the record is larger than Kafka takes", 120: "the record is larger than Kafka takes"}
    values = {record.value for record in read_topic(deployment.settings, TOPIC)}
    assert values == {b"%d" % number for number in range(200) if number not in refused}
    assert sorted(delivery.subject for delivery in deliveries) == list(range(200))


def test_a_topic_that_does_not_exist_is_found_out_before_the_first_record(deployment: Deployment) -> None:
    require_topic(deployment.settings, topic_name(deployment.settings.topic_prefix, TOPIC))
    with pytest.raises(ConfigurationError, match=r"has no topic nobody\.x"):
        require_topic(deployment.settings, "nobody.x")
