"""What every `Inference` promises, as tests: the fake that injects faults and the real one are held to the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from services.errors import ConfigurationError, CrashSuspected, DeadLetterReason, PermanentError, TransientError
from services.inference import Answer, Inference, Tensor

__all__ = ["InferenceContract", "texts"]


def texts(*values: str) -> dict[str, Tensor]:
    """The input of `echo`."""
    return {"TEXT": np.array([value.encode() for value in values], dtype=np.object_).reshape(-1, 1)}


class InferenceContract:
    """Inherit, and give the fixtures `inference`, `unreachable` and `heal`."""

    def ask(self, inference: Inference, *values: str, outputs: Sequence[str] = ("SCORES", "SPANS")) -> Answer:
        return inference.infer("echo", texts(*values), outputs)

    def test_it_answers_every_item_with_every_output_that_was_asked_for(self, inference: Inference) -> None:
        answer = self.ask(inference, "one", "two", "")
        assert answer.outputs["SCORES"].shape == (3, 3)
        assert answer.outputs["SPANS"].shape == (3, 3, 2)
        assert answer.version == "1"
        assert set(self.ask(inference, "one", outputs=["SCORES"]).outputs) == {"SCORES"}

    def test_an_input_that_the_model_refuses_is_permanent_and_is_not_quoted(self, inference: Inference) -> None:
        with pytest.raises(PermanentError) as caught:
            self.ask(inference, "fine", "RAISE")
        assert caught.value.reason is DeadLetterReason.MODEL_ERROR

    def test_a_model_that_does_not_exist_is_a_wrong_deployment(self, inference: Inference) -> None:
        with pytest.raises(ConfigurationError):
            inference.infer("no-such-model", texts("x"), ["SCORES"])
        with pytest.raises(ConfigurationError):
            inference.parameters("no-such-model")
        with pytest.raises(ConfigurationError):
            inference.probe("no-such-model")

    @pytest.mark.parametrize(
        "inputs",
        [
            {},
            {"TEXTS": texts("x")["TEXT"]},
            {"TEXT": np.zeros((1, 1), dtype=np.int32)},
            {"TEXT": np.full((1, 2), b"x", dtype=np.object_)},
        ],
        ids=["no input", "another name", "another type", "another shape"],
    )
    def test_tensors_that_the_model_does_not_have_are_a_wrong_deployment(
        self, inference: Inference, inputs: dict[str, Tensor]
    ) -> None:
        with pytest.raises(ConfigurationError):
            inference.infer("echo", inputs, ["SCORES"])

    def test_outputs_that_the_model_does_not_have_are_a_wrong_deployment(self, inference: Inference) -> None:
        with pytest.raises(ConfigurationError):
            self.ask(inference, "x", outputs=["LABELS"])

    def test_a_model_without_parameters_has_none(self, inference: Inference) -> None:
        assert inference.parameters("echo").get("labels", "") == ""

    def test_readiness_names_what_is_missing(self, inference: Inference) -> None:
        assert inference.ready(["echo"]) is None
        assert inference.ready([]) is None
        assert "no-such-model" in (inference.ready(["echo", "no-such-model"]) or "")

    def test_a_server_that_is_away_is_transient(self, unreachable: Inference) -> None:
        with pytest.raises(TransientError) as caught:
            self.ask(unreachable, "x")
        assert not isinstance(caught.value, CrashSuspected)
        with pytest.raises(TransientError):
            unreachable.probe("echo")
        with pytest.raises(TransientError):
            unreachable.parameters("echo")
        assert unreachable.ready(["echo"]) is not None

    def test_a_text_that_kills_the_process_is_suspected_and_the_probe_sees_a_dead_one(
        self, inference: Inference, heal: Callable[[], None]
    ) -> None:
        inference.probe("echo")
        with pytest.raises(CrashSuspected):
            self.ask(inference, "EXIT")
        with pytest.raises((CrashSuspected, ConfigurationError)):  # dead, or being loaded again
            inference.probe("echo")
        heal()
        inference.probe("echo")
        assert self.ask(inference, "fine").version == "1"
