"""We agree with the reference implementation of CloudEvents on every valid event, in both modes and both directions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from services.events import Envelope, build, decode
from services.events.content import CONTENT_SUBMITTED

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e9, 1e9)
    | st.text(TEXT, max_size=0)
    | TEXT
)
DATA = st.dictionaries(
    TEXT, st.recursive(SCALARS, lambda s: st.lists(s, max_size=3) | st.dictionaries(TEXT, s, max_size=3))
)


@st.composite
def events(draw: st.DrawFn) -> CloudEvent:
    optional = {
        "subject": TEXT,
        "tenant": TEXT,
        "time": st.datetimes(timezones=st.just(UTC)),
        "datacontenttype": st.sampled_from(
            ["application/json", "application/json; charset=utf-8", "application/x+json"]
        ),
        "dataschema": st.just("https://example.com/schema"),
        "comexampleother": TEXT,
    }
    required = {"specversion": st.just("1.0"), "id": TEXT, "source": TEXT, "type": TEXT}
    return CloudEvent(draw(st.fixed_dictionaries(required, optional=optional)), draw(DATA))


def headers_of(message: KafkaMessage) -> list[tuple[str, bytes]]:
    return list(message.headers.items())


def assert_same(ours: Envelope, theirs: Any) -> None:
    assert (ours.id, ours.source, ours.type) == (theirs.get_id(), theirs.get_source(), theirs.get_type())
    assert ours.data == theirs.get_data()
    assert ours.subject == theirs.get_subject()
    assert ours.tenant == (theirs.get_extension("tenant") or "default")
    if ours.time is not None:
        assert datetime.fromisoformat(ours.time) == theirs.get_time()


@given(events())
def test_we_read_what_it_writes_in_structured_mode(event: CloudEvent) -> None:
    message = to_structured_event(event)
    assert_same(decode(message.value, headers_of(message), max_bytes=10**6), event)
    assert_same(decode(message.value, [], max_bytes=10**6), event)


@given(events())
def test_we_read_what_it_writes_in_binary_mode(event: CloudEvent) -> None:
    message = to_binary_event(event)
    assert_same(decode(message.value, headers_of(message), max_bytes=10**6), event)


@given(st.fixed_dictionaries({"author_id": TEXT, "text": TEXT}), TEXT, TEXT)
def test_it_reads_what_we_write(data: dict[str, str], source: str, tenant: str) -> None:
    value = build(data, CONTENT_SUBMITTED, source=source, tenant=tenant)
    theirs = from_kafka_event(KafkaMessage(headers={}, key=None, value=value))
    assert_same(decode(value, [], max_bytes=10**6), theirs)
