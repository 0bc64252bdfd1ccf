"""The canary's request fits whatever the model's configuration says."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.embedded.canary import canary_request


def _config(**changes: Any) -> dict[str, Any]:
    text = {"name": "TEXT", "data_type": "TYPE_STRING", "dims": ["1"]}
    return {"max_batch_size": 8, "input": [text]} | changes


def test_a_text_model_is_asked_a_short_text() -> None:
    assert canary_request(_config()) == {
        "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [1, 1], "data": ["ok"]}]
    }


def test_open_dimensions_become_one_and_numbers_zero() -> None:
    tensor = {"name": "X", "data_type": "TYPE_FP32", "dims": ["-1", "3"]}
    request = canary_request(_config(max_batch_size=0, input=[tensor]))
    assert request == {"inputs": [{"name": "X", "datatype": "FP32", "shape": [1, 3], "data": [0.0, 0.0, 0.0]}]}


def test_a_model_may_say_what_it_wants_to_be_asked() -> None:
    wish = {"CANARY": {"string_value": '{"TEXT": "hello"}'}}
    request = canary_request(_config(parameters=wish))
    assert request is not None
    assert request["inputs"][0]["data"] == ["hello"]


def test_a_wish_that_cannot_be_read_is_ignored() -> None:
    assert canary_request(_config(parameters={"CANARY": {"string_value": "{"}})) == canary_request(_config())
    assert canary_request(_config(parameters={"CANARY": {"string_value": "[1]"}})) == canary_request(_config())


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"CANARY": {"string_value": "off"}}},
        {"model_transaction_policy": {"decoupled": True}},
        {"input": [{"name": "X", "data_type": "TYPE_FP16", "dims": ["1"]}]},
    ],
)
def test_some_models_cannot_or_do_not_want_to_be_asked(changes: dict[str, Any]) -> None:
    assert canary_request(_config(**changes)) is None


def test_a_model_of_sequences_gets_one_that_begins_and_ends() -> None:
    request = canary_request(_config(sequence_batching={}))
    assert request is not None
    assert request["parameters"] == {"sequence_id": 2**31, "sequence_start": True, "sequence_end": True}


def test_a_flag_is_false() -> None:
    request = canary_request(_config(input=[{"name": "B", "data_type": "TYPE_BOOL", "dims": ["1"]}]))
    assert request is not None
    assert request["inputs"][0] == {"name": "B", "datatype": "BOOL", "shape": [1, 1], "data": [False]}
