"""What the dispatcher hands a worker survives the broker."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from consumers.work_order import OrderedItem, WorkOrder

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DATA = st.dictionaries(
    TEXTS, TEXTS | st.integers(-(2**63), 2**63 - 1) | st.none() | st.floats(allow_nan=False, allow_infinity=False)
)
ITEMS = st.builds(
    OrderedItem,
    TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 2**31), st.integers(0, 2**62), st.floats(0, 1e10), st.none() | TEXTS, DATA,
)  # fmt: skip


@given(TEXTS, TEXTS, st.booleans(), st.lists(ITEMS, max_size=4))
def test_an_order_is_the_same_after_its_way(
    batch_id: str, capability: str, alone: Any, items: list[OrderedItem]
) -> None:
    order = WorkOrder(batch_id, capability, alone, items)
    assert WorkOrder.load(orjson.loads(orjson.dumps(order.dump()))) == order
