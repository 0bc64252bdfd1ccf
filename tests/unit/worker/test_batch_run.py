"""What a worker does with one batch, with a model server and a database that fail on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.worker.batch_run import BatchRunner, Station
from services.capabilities import Outcome, Rejection, Result, WorkItem
from services.errors import ConfigurationError, CrashSuspected, DeadLetterReason, PermanentError, TransientError
from services.storage import BatchBoard, ResultStore
from tests.toy.capability import TOY
from tests.unit.inference.faulty_inference import FaultyInference
from tests.unit.worker.places import Board, Table, order_of

AWAY = TransientError("Triton: it is away")


class EchoPipeline:
    """Asks the model for each text; the result is its first score."""

    def __init__(self, inference: FaultyInference) -> None:
        self._inference = inference

    def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
        texts = np.array([item.data.text.encode() for item in items], dtype=np.object_).reshape(-1, 1)
        answer = self._inference.infer("echo", {"TEXT": texts}, ["SCORES"])
        return [Result({"score": round(float(row[0]), 4)}) for row in answer.outputs["SCORES"]]


class Bench:
    """One worker with everything it touches."""

    def __init__(self, pipeline: Any = None, *, patience_s: float = 0.0) -> None:
        self.model = FaultyInference()
        self.table = Table()
        self.board = Board(self.table)
        self.waits: list[float] = []
        self.on_wait: Callable[[], object] = lambda: None
        capability = replace(TOY, models=("echo",))
        station = Station(
            capability,
            pipeline or EchoPipeline(self.model),
            cast("ResultStore", self.table),
            lambda: self.model.probe("echo"),
        )
        self.runner = BatchRunner(
            {"toy": station}, cast("BatchBoard", self.board), "worker-1", patience_s, sleep=self._sleep
        )

    def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.on_wait()

    def decided(self) -> set[str]:
        return {row["event_id"] for row in self.table.rows.values()}


def test_a_good_batch_leaves_rows_and_a_marker() -> None:
    bench = Bench()
    assert bench.runner.run(order_of("one", "two")) == "done"
    assert bench.decided() == {"e-0", "e-1"}
    assert bench.table.markers == {"b-1": []}
    row = bench.table.rows["d-0"]
    assert row["data"]["decision_id"] == "d-0"
    assert row["data"]["event_id"] == "e-0"
    assert row["data"]["score"] == 0.01
    assert row["data"]["decided_at"].endswith("Z")
    assert (row["content_hash"], row["tenant"], row["input_partition"], row["input_offset"]) == ("aa", "default", 0, 0)


def test_i3_what_is_decided_already_is_not_computed_again() -> None:
    bench = Bench()
    bench.runner.run(order_of("one"))
    before = dict(bench.table.rows["d-0"])
    assert bench.runner.run(order_of("one", "two", batch_id="b-2")) == "done"
    assert bench.model.calls == [["one"], ["two"]]
    assert bench.table.rows["d-0"] == before


def test_i3_two_copies_in_one_batch_are_computed_once() -> None:
    bench = Bench()
    bench.runner.run(order_of("one", "one", ids=["d-7", "d-7"]))
    assert bench.model.calls == [["one"]]
    assert bench.table.rows["d-7"]["input_offset"] == 0


def test_the_model_is_not_asked_for_a_batch_that_is_decided_already() -> None:
    bench = Bench()
    bench.runner.run(order_of("one"))
    bench.model.away = True
    assert bench.runner.run(order_of("one", batch_id="b-2")) == "done"
    assert bench.table.markers["b-2"] == []


@given(st.lists(st.sampled_from(["fine", "RAISE", 7]), min_size=1, max_size=70))
def test_each_bad_item_is_found_and_its_neighbours_are_decided(texts: list[Any]) -> None:
    bench = Bench()
    assert bench.runner.run(order_of(*texts)) == "done"
    assert bench.decided() == {f"e-{n}" for n, text in enumerate(texts) if text == "fine"}
    reasons = {place: reason for place, reason, _ in bench.table.markers["b-1"]}
    assert reasons == {
        n: "model_error" if text == "RAISE" else "schema" for n, text in enumerate(texts) if text != "fine"
    }


def test_a_bug_in_the_pipeline_is_the_fault_of_the_items_that_meet_it() -> None:
    class Buggy:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            return [Result({"n": 1 / (len(item.data.text) - 3)}) for item in items]

    bench = Bench(Buggy())
    assert bench.runner.run(order_of("a", "abc", "b")) == "done"
    assert bench.decided() == {"e-0", "e-2"}
    assert bench.table.markers["b-1"] == [[1, "internal", "the pipeline raised ZeroDivisionError"]]


def test_a_rejection_of_the_pipeline_is_passed_on() -> None:
    class Strict:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            return [Rejection(DeadLetterReason.TEXT_TOO_LONG, "too long") for _ in items]

    bench = Bench(Strict())
    assert bench.runner.run(order_of("a")) == "done"
    assert bench.table.markers["b-1"] == [[0, "text_too_long", "too long"]]
    assert bench.decided() == set()


@pytest.mark.parametrize("outcomes", [[], [None]])
def test_a_pipeline_that_breaks_its_contract_is_a_wrong_deployment(outcomes: list[Any]) -> None:
    class Wrong:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            return outcomes

    bench = Bench(Wrong())
    assert bench.runner.run(order_of("a")) == "misconfigured"
    assert bench.board.given_up["b-1"][0] == "misconfigured"
    assert bench.table.markers == {}


# --- outages: nobody's fault -----------------------------------------------------------------------------------------


def test_i6_a_worker_waits_for_a_dependency_that_is_away_and_then_goes_on() -> None:
    bench = Bench(patience_s=60)
    bench.model.faults = [AWAY, AWAY, AWAY]
    seen: list[str | None] = []
    bench.on_wait = lambda: seen.append(bench.runner.running()["b-1"])
    assert bench.runner.run(order_of("a", "b")) == "done"
    assert bench.decided() == {"e-0", "e-1"}
    assert bench.waits == [0.1, 0.2, 0.4]
    assert seen == ["Triton"] * 3
    assert bench.runner.running() == {}


def test_i6_a_batch_is_handed_back_when_the_outage_outlasts_the_patience() -> None:
    bench = Bench(patience_s=0)
    bench.model.away = True
    assert bench.runner.run(order_of("a")) == "retry"
    assert bench.board.given_up == {"b-1": ("retry", "the server is away")}
    assert bench.table.markers == {}


def test_i6_a_missing_model_is_waited_for_and_never_dead_letters() -> None:
    bench = Bench(patience_s=60)
    bench.model.loaded = False

    def load() -> None:
        bench.model.loaded = True

    bench.on_wait = load
    assert bench.runner.run(order_of("a")) == "done"
    bench.model.loaded = False
    bench.on_wait = lambda: None
    late = Bench(patience_s=0)
    late.model.loaded = False
    assert late.runner.run(order_of("a")) == "misconfigured"
    assert late.table.markers == {}


def test_i6_a_batch_that_was_computed_waits_for_postgres_longer_than_computing_took() -> None:
    bench = Bench(patience_s=10)
    bench.table.faults = [None, *[TransientError("Postgres: it is away")] * 4]
    assert bench.runner.run(order_of("a")) == "done"
    assert bench.model.calls == [["a"]]  # not computed again


def test_i6_without_postgres_a_batch_leaves_no_marker_and_nothing_is_raised() -> None:
    bench = Bench()
    bench.table.faults = [TransientError("Postgres: it is away")]
    bench.board.away = True
    assert bench.runner.run(order_of("a")) == "retry"
    assert bench.board.given_up == {}


def test_no_memory_is_an_outage_and_not_the_fault_of_a_text() -> None:
    class Greedy:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            raise MemoryError

    bench = Bench(Greedy())
    assert bench.runner.run(order_of("a")) == "retry"


@given(st.lists(st.sampled_from([None, AWAY, ConfigurationError("no model")]), max_size=6), st.booleans())
def test_i6_whatever_outage_comes_nothing_is_rejected_for_it(faults: list[Any], patient: bool) -> None:  # noqa: FBT001
    bench = Bench(patience_s=1000 if patient else 0)
    bench.model.faults = list(faults)
    outcome = bench.runner.run(order_of("a", "b", "c"))
    assert outcome in {"done", "retry", "misconfigured"}
    assert (outcome == "done") == (bench.decided() == {"e-0", "e-1", "e-2"})
    assert bench.table.markers in ({}, {"b-1": []})


# --- crashes: suspected ----------------------------------------------------------------------------------------------


def test_a_batch_during_which_the_model_died_is_suspected_at_once() -> None:
    bench = Bench(patience_s=60)
    assert bench.runner.run(order_of("a", "EXIT")) == "suspect"
    assert bench.waits == []
    assert bench.board.given_up["b-1"][0] == "suspect"
    assert bench.table.markers == {}


def test_a_server_that_is_still_dead_says_nothing_about_the_next_batch() -> None:
    bench = Bench(patience_s=0)
    bench.runner.run(order_of("EXIT"))
    assert bench.runner.run(order_of("fine", batch_id="b-2")) == "retry"
    bench.model.heal()
    assert bench.runner.run(order_of("fine", batch_id="b-3")) == "done"


def test_a_suspected_batch_is_announced_after_the_model_proved_well() -> None:
    bench = Bench()
    assert bench.runner.run(order_of("fine", alone=True)) == "done"
    assert bench.board.begun == ["b-1"]


def test_a_suspected_batch_is_not_announced_to_a_model_that_is_dead() -> None:
    bench = Bench(patience_s=0)
    bench.runner.run(order_of("EXIT"))
    assert bench.runner.run(order_of("fine", alone=True, batch_id="b-2")) == "retry"
    assert bench.board.begun == []


def test_a_crash_of_a_batch_that_ran_alone_on_a_model_that_was_well_is_suspect() -> None:
    bench = Bench()
    assert bench.runner.run(order_of("EXIT", alone=True)) == "suspect"
    assert bench.board.begun == ["b-1"]


# --- Postgres refuses ------------------------------------------------------------------------------------------------


@given(st.integers(1, 20), st.data())
def test_a_row_that_postgres_refuses_is_rejected_alone(count: int, data: st.DataObject) -> None:
    bench = Bench()
    bad = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    bench.table.refuses = {f"e-{n}" for n in bad}
    assert bench.runner.run(order_of(*["fine"] * count)) == "done"
    assert bench.decided() == {f"e-{n}" for n in range(count) if n not in bad}
    assert sorted(bench.table.markers["b-1"]) == [
        [n, "internal", "Postgres refuses the data: DataError"] for n in sorted(bad)
    ]


def test_refused_rows_are_named_by_their_place_beside_other_rejects() -> None:
    bench = Bench()
    bench.table.refuses = {"e-2"}
    assert bench.runner.run(order_of(7, "fine", "refused", "RAISE")) == "done"
    assert {(place, reason) for place, reason, _ in bench.table.markers["b-1"]} == {
        (0, "schema"),
        (2, "internal"),
        (3, "model_error"),
    }
    assert bench.decided() == {"e-1"}


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, np.float32(1), object()])
def test_a_result_that_is_no_json_is_rejected_alone(value: Any) -> None:
    class Odd:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            return [Result({"value": value if item.data.text == "odd" else 1}) for item in items]

    bench = Bench(Odd())
    assert bench.runner.run(order_of("fine", "odd")) == "done"
    assert bench.decided() == {"e-0"}
    assert bench.table.markers["b-1"] == [[1, "internal", "the result cannot be written as JSON"]]


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_bug_of_the_worker_hands_the_batch_back_and_does_not_raise() -> None:
    class Broken:
        def run(self, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            raise PermanentError(cast("DeadLetterReason", "no such reason"), "x")

    bench = Bench(Broken())
    assert bench.runner.run(order_of("a")) == "suspect"
    assert bench.board.given_up["b-1"] == ("suspect", "the worker raised AttributeError")


def test_a_batch_of_an_unknown_capability_is_handed_back() -> None:
    bench = Bench()
    assert bench.runner.run(replace(order_of("a"), capability="recommend")) == "misconfigured"
    assert "'recommend'" in bench.board.given_up["b-1"][1]


def test_the_age_of_the_oldest_run_is_known_while_it_runs() -> None:
    bench = Bench(patience_s=60)
    bench.model.faults = [AWAY]
    ages: list[tuple[float, float]] = []
    bench.on_wait = lambda: ages.append((bench.runner.longest_run_s(), bench.runner.longest_inference_s()))
    bench.runner.run(order_of("a"))
    assert ages[0][0] > 0
    assert ages[0][1] > 0
    assert bench.runner.longest_run_s() == bench.runner.longest_inference_s() == 0


def test_a_crash_is_raised_as_it_is_by_the_fake() -> None:
    with pytest.raises(CrashSuspected):
        EchoPipeline(Bench().model).run([WorkItem("d", "e", "t", type("D", (), {"text": "EXIT"})())])
