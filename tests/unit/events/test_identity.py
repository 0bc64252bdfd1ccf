"""Ids and hashes of events are for ever: these tests pin them."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.events import content_hash, decision_id, decode
from services.events.identity import DECISION_NAMESPACE

PARTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("%|27C5"), max_size=5)
QUADRUPLES = st.tuples(PARTS, PARTS, PARTS, PARTS)


def test_the_id_of_an_event_never_changes() -> None:
    assert uuid.UUID("c2a6f1de-6f2b-5d0e-9b63-6a1d0c7f52e4") == DECISION_NAMESPACE
    assert str(decision_id("default", "forum/web", "e-1", "review")) == "775a5fc0-758a-5f23-8363-9e6bc925cf9b"
    assert str(decision_id("a|b", "50%", "é", "")) == "cbdf3169-5775-5ac3-91a1-9ed55dc8f594"


@given(QUADRUPLES)
def test_a_decision_id_is_a_version_5_uuid(parts: tuple[str, str, str, str]) -> None:
    name = "|".join(part.replace("%", "%25").replace("|", "%7C") for part in parts)
    assert decision_id(*parts) == uuid.uuid5(DECISION_NAMESPACE, name)


@given(QUADRUPLES, QUADRUPLES)
def test_different_events_have_different_ids(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    assume(one != other)
    assert decision_id(*one) != decision_id(*other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a|b", "c", "d", "e"), ("a", "b|c", "d", "e")),
        (("a", "b", "c|d", "e"), ("a", "b", "c", "d|e")),
        (("a%7Cb", "c", "d", "e"), ("a|b", "c", "d", "e")),
        (("a%", "b", "c", "d"), ("a%25", "b", "c", "d")),
        (("", "|", "", ""), ("|", "", "", "")),
    ],
)
def test_a_separator_inside_a_part_makes_no_two_events_one(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    assert decision_id(*one) != decision_id(*other)


def test_the_hash_of_a_content_never_changes() -> None:
    assert content_hash({"text": "你好", "n": 1, "x": [None, True, 0.5]}).hex() == "202246a05e7b837a07356a205043de8d"
    assert len(content_hash({})) == 16


DATA = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=5,
)


@given(DATA, st.randoms())
def test_the_hash_does_not_depend_on_how_the_data_was_written(data: dict[str, Any], random: Any) -> None:
    assume("\\u0000" not in json.dumps(data))

    def shuffled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: shuffled(node[key]) for key in random.sample(list(node), len(node))}
        return [shuffled(item) for item in node] if isinstance(node, list) else node

    def received(text: str) -> dict[str, Any]:
        event = f'{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{text}}}'
        return decode(event.encode(), [], max_bytes=10**6).data

    escaped = json.dumps(shuffled(data), indent=1)
    plain = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert content_hash(received(escaped)) == content_hash(received(plain)) == content_hash(data)


@pytest.mark.parametrize(
    "other", [{"a": 2}, {"a": "1"}, {"a": 1.0}, {"a": True}, {"a": [1]}, {"A": 1}, {"a": 1, "b": None}, {}]
)
def test_other_content_has_another_hash(other: dict[str, Any]) -> None:
    assert content_hash(other) != content_hash({"a": 1})
