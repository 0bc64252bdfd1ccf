"""Faults are planted in Kafka and Postgres after a flawless run: the checker's readers must bring each of them to light."""

from __future__ import annotations

import orjson
import psycopg
import pytest
from kafka import KafkaProducer

from tests.chaos.conftest import Scene
from tests.chaos.events import review_events
from tests.chaos.evidence import Target, read_topic
from tests.chaos.trial import Trial

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]

_RUN = "planted-"


def test_every_fault_that_is_planted_after_a_flawless_run_is_found(scene: Scene) -> None:
    target = scene.target("review")
    events = list(review_events(_RUN, 400, seed=3, null_model=True))
    rubbish = next(event for event in events if event.reason)
    with Trial(target, scene.folder, _RUN, events) as trial:
        trial.wait_until_settled(120)
        flawless = trial.verdict()
        assert not flawless.faults
        assert (flawless.decided, flawless.rejected) == (400, flawless.planted)

        _copy_a_record(target, f"{_RUN}6")
        assert trial.verdict().faults == {"double_events": [f"{_RUN}6"]}

        _execute(target, "DELETE FROM review_decision WHERE event_id = %s", f"{_RUN}7")
        assert trial.verdict().faults["lost_rows"] == [f"{_RUN}7"]

        _execute(
            target,
            "INSERT INTO review_decision (decision_id, content_hash, tenant, event_id, input_partition, input_offset,"
            " received_at, decided_at, output_key, data) SELECT gen_random_uuid(), content_hash, tenant, event_id,"
            " input_partition, input_offset, received_at, decided_at, output_key, data FROM review_decision WHERE event_id = %s",
            f"{_RUN}8",
        )
        assert trial.verdict().faults["double_rows"] == [f"{_RUN}8"]

        change = """UPDATE review_decision SET data = data || '{"action": "block"}' WHERE event_id = %s"""
        _execute(target, change, f"{_RUN}9")
        assert f"{_RUN}9" in trial.verdict().faults["differing"]

        _execute(target, "DELETE FROM dead_letter WHERE value = %s", rubbish.value)
        assert trial.verdict().faults["lost_dead_letters"] == [rubbish.id]


def _execute(target: Target, statement: str, parameter: str | bytes) -> None:
    with psycopg.connect(target.postgres) as connection:
        assert connection.execute(statement.encode(), (parameter,)).rowcount == 1


def _copy_a_record(target: Target, event_id: str) -> None:
    """The faithful copy that a dispatcher would publish after it forgot that it had published."""
    records = read_topic(target, target.output_topic)
    record = next(one for one in records if orjson.loads(one.value)["data"]["event_id"] == event_id)
    producer = KafkaProducer(bootstrap_servers=target.kafka, acks="all", metrics_enabled=False)
    producer.send(target.output_topic, record.value, record.key, record.headers, record.partition).get(timeout=30)
    producer.close()
