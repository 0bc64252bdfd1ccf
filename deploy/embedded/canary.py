r"""The canary's request: a real inference that harms nobody, built from the model's own configuration.

A short text for strings, zeros for numbers, one for every dimension left open. A model that cannot answer that says in its
`config.pbtxt` what it wants instead, or that it wants none:

    parameters { key: "CANARY" value { string_value: "{\"TEXT\": \"hello\"}" } }
    parameters { key: "CANARY" value { string_value: "off" } }
"""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["canary_request"]

_TEXT = "ok"
_FLOATS = frozenset({"TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_BF16"})


def canary_request(config: dict[str, Any]) -> dict[str, Any] | None:
    """The body for `/infer`, or None when the model cannot or does not want to be asked.

    None is also the answer for decoupled models, which Triton does not serve on this path, and for half-precision inputs,
    which JSON cannot carry.
    """
    wish = config.get("parameters", {}).get("CANARY", {}).get("string_value", "")
    if wish == "off" or config.get("model_transaction_policy", {}).get("decoupled"):
        return None
    try:
        values = json.loads(wish) if wish else {}
    except ValueError:
        values = {}
    if not isinstance(values, dict):
        values = {}
    batched = int(config.get("max_batch_size", 0)) > 0
    inputs = []
    for declared in config.get("input", []):
        data_type = str(declared["data_type"])
        if data_type in {"TYPE_FP16", "TYPE_BF16"}:
            return None
        shape = [1 if int(size) < 0 else int(size) for size in declared["dims"]]
        value = values.get(declared["name"], _default(data_type))
        inputs.append(
            {
                "name": declared["name"],
                "datatype": "BYTES" if data_type == "TYPE_STRING" else data_type.removeprefix("TYPE_"),
                "shape": [1, *shape] if batched else shape,
                "data": [value] * math.prod(shape),
            }
        )
    request: dict[str, Any] = {"inputs": inputs}
    if "sequence_batching" in config:
        request["parameters"] = {"sequence_id": 2**31, "sequence_start": True, "sequence_end": True}
    return request


def _default(data_type: str) -> Any:
    if data_type == "TYPE_STRING":
        return _TEXT
    if data_type == "TYPE_BOOL":
        return False
    return 0.0 if data_type in _FLOATS else 0
