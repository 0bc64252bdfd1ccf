"""The clock by which batches count as lost: it stands still while anything is broken (I6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.dispatcher.healthy_clock import HealthyClock

INTERVALS = st.lists(st.tuples(st.floats(0, 0.9), st.booleans()), max_size=50)


@given(INTERVALS)
def test_i6_only_time_that_begins_and_ends_healthy_counts(intervals: list[tuple[float, bool]]) -> None:
    clock = HealthyClock()
    now, before, expected = 100.0, False, 0.0
    clock.tick(now, healthy=False, outage=True)
    for seconds, healthy in intervals:
        now += seconds
        clock.tick(now, healthy=healthy, outage=not healthy)
        if before and healthy:
            expected += seconds
        before = healthy
    assert clock.now_s == pytest.approx(expected)


def test_i6_a_frozen_process_does_not_count_its_own_absence() -> None:
    clock = HealthyClock()
    clock.tick(0, healthy=True, outage=False)
    clock.tick(3600, healthy=True, outage=False)
    assert clock.now_s == 1.0


def test_the_first_tick_counts_nothing() -> None:
    clock = HealthyClock()
    clock.tick(1e6, healthy=True, outage=False)
    assert clock.now_s == 0


def test_each_outage_is_counted_once_however_long_it_is() -> None:
    clock = HealthyClock()
    for outage in (False, True, True, False, True):
        clock.tick(0, healthy=not outage, outage=outage)
    assert clock.outages == 2


def test_the_absence_of_workers_stops_the_clock_and_is_no_outage() -> None:
    clock = HealthyClock()
    clock.tick(0, healthy=True, outage=False)
    clock.tick(1, healthy=False, outage=False)
    clock.tick(2, healthy=True, outage=False)
    assert clock.now_s == 0
    assert clock.outages == 0
