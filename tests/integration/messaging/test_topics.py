"""Topics that are missing are created; those that exist are left alone."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest

from services.errors import TransientError
from services.messaging import admin_client, create_missing_topics
from services.settings import Settings
from tests.integration.servers import Deployment, Servers


@pytest.fixture(scope="module")
def deployment(servers: Servers) -> Deployment:
    return servers.deploy()


def names() -> list[str]:
    stem = f"made-{uuid4().hex[:8]}"
    return [f"{stem}.a", f"{stem}.a.dlq"]


def test_only_what_is_missing_is_created(deployment: Deployment) -> None:
    one, other = names()
    assert create_missing_topics(deployment.settings, [one]) == [one]
    assert create_missing_topics(deployment.settings, [one, other, other]) == [other]
    assert create_missing_topics(deployment.settings, [one, other]) == []


def test_many_processes_at_once_create_each_topic_once(deployment: Deployment) -> None:
    wanted = names()
    created: list[str] = []
    threads = [
        threading.Thread(target=lambda: created.extend(create_missing_topics(deployment.settings, wanted)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(created) == wanted


def test_a_dead_letter_topic_takes_more_than_any_input_topic(deployment: Deployment) -> None:
    one, letters = names()
    create_missing_topics(deployment.settings, [one, letters])
    admin = admin_client(deployment.settings, "test")
    try:
        found = str(admin.describe_configs([_topic(letters)]))
    finally:
        admin.close()
    assert "2097152" in found


def _topic(name: str) -> object:
    from kafka.admin import ConfigResource, ConfigResourceType

    return ConfigResource(ConfigResourceType.TOPIC, name)


def test_without_a_broker_it_is_transient() -> None:
    with pytest.raises(TransientError):
        create_missing_topics(Settings(kafka_bootstrap="127.0.0.1:1"), ["x"])
