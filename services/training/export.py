"""From a trained folder to the files that the serving engine loads: int8 graph, tables, tokenizer, labels.

Weights become int8 with a scale per channel, and the embedding table int8 rows with one scale each; positions and the head stay
float, and the calibration of the scores (`calibration.json`, when the trained folder has one) is folded into the head. Activations
stay bf16 (float32 where a CPU has no bf16) unless `int8_activations` asks for NNCF's post-training quantisation (transformer preset,
smooth quantisation, calibrated on held-out texts). That is what a CPU with VNNI and without bf16 is fastest with, and it changes
decisions: measured 2026-11 on the review model in training, 5.5 % of them against 0.3 % with int8 weights alone, at the same speed on
a CPU with AMX; the activations of the feed-forward layers' second product are to blame for most of it. Promises: the target
folder is complete or untouched. `agreement.py` measures what the quantisation changed.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.errors import ConfigurationError
from services.training.calibration import Calibration
from services.training.graph import ExportGraph
from services.training.network import Classifier, load_classifier

__all__ = ["export_model", "quantise_rows"]

#: Texts that calibrate activations.
_SAMPLES = 400


def quantise_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows of int8 and a scale per row, so that `rows * scales` is the table within half a step."""
    scales = np.maximum(np.abs(table).max(axis=1), 1e-8) / 127.0
    return np.round(table / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def export_model(
    trained: Path, target: Path, texts: Sequence[str], *, int8_activations: bool = False, width: int = 128
) -> None:
    """Write the engine's files for the model in `trained` to `target`; `texts` calibrate activations, where those become int8.

    Raises:
        ConfigurationError: there is no text to calibrate on, or no trained head.
    """
    if int8_activations and not texts:
        raise ConfigurationError("the quantisation needs held-out texts to calibrate on, and there are none")
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model, tokenizer = load_classifier(trained)
    model.eval()
    embeddings = model.encoder.embeddings
    rows, scales = quantise_rows(embeddings.word_embeddings.weight.detach().numpy())
    # The segment vector is the same for every token: one constant less in the engine.
    positions = (embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).detach().numpy()
    converted = _convert(model, rows.shape[1])

    def inputs(text: str) -> dict[str, NDArray[np.float32]]:
        ids = tokenizer.encode(text).ids
        values = rows[ids].astype(np.float32) * scales[ids, None] + positions[: len(ids)]
        return {"embeddings": values[None].astype(np.float32), "segments": np.zeros((1, len(ids)), np.float32)}

    if int8_activations:
        tokenizer.no_padding()
        tokenizer.enable_truncation(width)
        chosen = list(texts)[:: max(1, len(texts) // _SAMPLES)][:_SAMPLES]
        quantised = _quantise(converted, nncf.Dataset(chosen, inputs), len(chosen))
        tokenizer.no_truncation()
    else:
        quantised = nncf.compress_weights(converted, mode=nncf.CompressWeightsMode.INT8_SYM)

    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    openvino.save_model(quantised, part / "model.xml", compress_to_fp16=True)
    weights, bias = Calibration.load(trained, model.labels).fold(
        model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    )
    np.savez(
        part / "tables.npz",
        rows=rows,
        scales=scales,
        positions=positions.astype(np.float16),
        head_weights=weights,
        head_bias=bias,
    )
    tokenizer.save(str(part / "tokenizer.json"), pretty=False)
    (part / "labels.json").write_text(json.dumps({"labels": list(model.labels)}), encoding="utf-8")
    _replace(part, target)


def _quantise(graph: object, texts: object, count: int) -> object:
    import nncf

    result: object = nncf.quantize(
        graph,
        texts,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=count,
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=0.5)
        ),
    )
    return result


def _convert(model: Classifier, size: int) -> object:
    import openvino

    graph = ExportGraph(model).eval()
    example = (torch.zeros(1, 8, size), torch.zeros(1, 8))
    with torch.no_grad():
        converted = openvino.convert_model(
            graph, example_input=example, input=[("embeddings", [1, -1, size]), ("segments", [1, -1])]
        )
    for port, name in zip(converted.inputs, ("embeddings", "segments"), strict=True):
        port.get_tensor().set_names({name})
    converted.outputs[0].get_tensor().set_names({"states"})
    result: object = converted
    return result


def _replace(part: Path, target: Path) -> None:
    """Put the new files into `target`, keeping what is not the model's data (`model.py`)."""
    target.mkdir(parents=True, exist_ok=True)
    for file in part.iterdir():
        file.replace(target / file.name)
    part.rmdir()
