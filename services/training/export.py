"""From a trained folder to the files that the serving engine loads: int8 graph, tables, tokenizer, labels.

Weights and the embedding table become int8 with a scale for each few columns, the weights rounded so that their products with what
held-out texts multiply them with change least (docs/decisions/0018); positions and the head stay float, and the calibration of the
scores (`calibration.json`, when the trained folder has one) is folded into the head. Activations stay bf16 (float32 where a
CPU has no bf16) and are rounded for the products as the model runs where the CPU has int8 products (docs/decisions/0011), unless
`int8_activations` asks for NNCF's post-training quantisation (transformer preset, smooth quantisation, calibrated on held-out texts),
at the price of many changed decisions (docs/decisions/0008). Promises: the target folder is complete or untouched.
`agreement.py` measures what the quantisation changed.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.errors import ConfigurationError
from services.training.calibration import Calibration
from services.training.graph import ExportGraph
from services.training.network import Classifier, load_classifier
from services.training.rounding import input_moments, quantise_matrix, quantise_rows, restore_rows

__all__ = ["export_model"]

#: Columns that share a scale in a row of the table. One scale a row changed 0.4 % of decisions by itself.
_TABLE_COLUMNS = 16
#: Inputs that share a scale in a row of a layer's matrix, and in the activations that it is multiplied with.
_MATRIX_COLUMNS = 32
#: Texts that show what the matrices are multiplied with.
_SAMPLES = 800
#: Of them, lying end to end.
_TOGETHER = 8


def export_model(
    trained: Path, target: Path, texts: Sequence[str], *, int8_activations: bool = False, width: int = 128
) -> None:
    """Write the engine's files for the model in `trained` to `target`; `texts` show what the matrices are multiplied with.

    Without texts each weight is rounded by itself.

    Raises:
        ConfigurationError: there is no text to calibrate on, or no trained head.
    """
    if int8_activations and not texts:
        raise ConfigurationError("the quantisation needs held-out texts to calibrate on, and there are none")
    import openvino

    model, tokenizer = load_classifier(trained)
    model.eval()
    embeddings = model.encoder.embeddings
    rows, scales = quantise_rows(embeddings.word_embeddings.weight.detach().numpy(), _TABLE_COLUMNS)
    # The segment vector is the same for every token: one constant less in the engine.
    positions = (embeddings.position_embeddings.weight + embeddings.token_type_embeddings.weight[0]).detach().numpy()
    converted = _convert(model, rows.shape[1])

    tokenizer.no_padding()
    tokenizer.enable_truncation(width)
    samples = []
    for text in list(texts)[:: max(1, len(texts) // _SAMPLES)][:_SAMPLES]:
        ids = tokenizer.encode(text).ids
        values = restore_rows(rows[ids], scales[ids]) + positions[: len(ids)]
        samples.append((values[None].astype(np.float32), np.zeros((1, len(ids)), np.float32)))
    tokenizer.no_truncation()
    if int8_activations:
        quantised = _quantise(converted, samples)
    else:
        quantised = _compress(converted, input_moments(ExportGraph(model).eval(), _end_to_end(samples)))

    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    openvino.save_model(quantised, part / "model.xml", compress_to_fp16=True)
    weights, bias = Calibration.load(trained, model.labels).fold(
        model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    )
    np.savez_compressed(
        part / "tables.npz",
        rows=rows,
        scales=scales,
        matrix_columns=np.int64(_MATRIX_COLUMNS),
        positions=positions.astype(np.float16),
        head_weights=weights,
        head_bias=bias,
    )
    tokenizer.save(str(part / "tokenizer.json"), pretty=False)
    (part / "labels.json").write_text(json.dumps({"labels": list(model.labels)}), encoding="utf-8")
    _replace(part, target)


def _end_to_end(samples: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Samples, so many as one, each a segment of its own: adding up moments costs a call as much as its texts do."""
    for start in range(0, len(samples), _TOGETHER):
        some = samples[start : start + _TOGETHER]
        segments = [segment + number for number, (_, segment) in enumerate(some)]
        yield torch.from_numpy(np.concatenate([v for v, _ in some], 1)), torch.from_numpy(np.concatenate(segments, 1))


def _compress(graph: Any, moments: Mapping[str, NDArray[np.float64]]) -> Any:
    """Replace the constant matrix of each product by int8 values and their scales, which a runtime multiplies when it loads them.

    `moments` are those of every layer's inputs, by their names in `ExportGraph`; with none at all each value is rounded by itself.
    """
    from openvino import opset13 as ops

    for product in graph.get_ordered_ops():
        if product.get_type_name() != "MatMul":
            continue
        constant = product.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue  # a product of two activations
        matrix = constant.data.astype(np.float32)
        if not product.get_attributes()["transpose_b"]:
            raise ConfigurationError(
                "the graph has a product whose matrix lies the other way round: its rows would mix scales"
            )
        if moments:
            # A product is named after the layer and what traced it: __module.layers.0.mix/aten::linear/...
            layer = product.get_friendly_name().partition("/")[0].removeprefix("__module.")
            rows, scales = quantise_matrix(matrix, _MATRIX_COLUMNS, moments[layer])
        else:
            rows, scales = quantise_rows(matrix, _MATRIX_COLUMNS)
        values = ops.convert(ops.constant(rows.reshape(*scales.shape, -1)), "f16")
        scaled = ops.multiply(values, ops.constant(scales[:, :, None]))
        restored = ops.convert(ops.reshape(scaled, np.array(matrix.shape), special_zero=False), "f32")
        product.input(1).replace_source_output(restored.output(0))
    graph.validate_nodes_and_infer_types()
    return graph


def _quantise(graph: Any, samples: list[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> Any:
    import nncf

    nncf.set_log_level(logging.ERROR)
    return nncf.quantize(
        graph,
        nncf.Dataset(samples, lambda sample: {"embeddings": sample[0], "segments": sample[1]}),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(samples),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=0.5)
        ),
    )


def _convert(model: Classifier, size: int) -> Any:
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
    return converted


def _replace(part: Path, target: Path) -> None:
    """Put the new files into `target`, keeping what is not the model's data (`model.py`)."""
    target.mkdir(parents=True, exist_ok=True)
    for file in part.iterdir():
        file.replace(target / file.name)
    part.rmdir()
