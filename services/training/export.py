"""From a trained folder to the files that the serving engine loads: int8 graph, embedding table, tokenizer, labels.

Weights and activations become int8 by NNCF's post-training quantisation (transformer preset, smooth quantisation), calibrated
on held-out texts; the embedding table becomes int8 rows with one scale each. `agreement` says what that changed.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from services.training.graph import ExportGraph
from services.training.network import load_classifier

__all__ = ["export_model", "quantise_rows"]


def quantise_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Rows of int8 and a scale per row, so that `rows * scales` is the table within half a step."""
    scales = np.maximum(np.abs(table).max(axis=1), 1e-8) / 127.0
    return np.round(table / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def export_model(trained: Path, target: Path, texts: list[str], *, width: int = 128, samples: int = 300) -> None:
    """Write `model.xml`, `model.bin`, `embeddings.npz`, `tokenizer.json` and `labels.json` to `target`."""
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)
    model, tokenizer = load_classifier(trained)
    model.eval()
    graph = ExportGraph(model).eval()
    table = model.encoder.get_input_embeddings().weight.detach().numpy()
    rows, scales = quantise_rows(table)
    size = table.shape[1]
    example = (torch.zeros(2, 8, size), torch.ones(2, 8))
    with torch.no_grad():
        converted = openvino.convert_model(
            graph, example_input=example, input=[("embeddings", [-1, -1, size]), ("mask", [-1, -1])]
        )
    for port, name in zip(converted.inputs, ("embeddings", "mask"), strict=True):
        port.get_tensor().set_names({name})
    converted.outputs[0].get_tensor().set_names({"logits"})

    tokenizer.no_padding()
    tokenizer.enable_truncation(width)

    def inputs(text: str) -> dict[str, NDArray[np.float32]]:
        ids = tokenizer.encode(text).ids
        values = rows[ids].astype(np.float32) * scales[ids, None]
        return {"embeddings": values[None], "mask": np.ones((1, len(ids)), np.float32)}

    quantised = nncf.quantize(
        converted,
        nncf.Dataset(texts[:samples], inputs),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=min(samples, len(texts)),
        advanced_parameters=nncf.AdvancedQuantizationParameters(
            smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(matmul=0.5)
        ),
    )
    tokenizer.no_truncation()
    target.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantised, target / "model.xml", compress_to_fp16=True)
    np.savez(target / "embeddings.npz", rows=rows, scales=scales)
    tokenizer.save(str(target / "tokenizer.json"), pretty=False)
    (target / "labels.json").write_text(json.dumps({"labels": list(model.labels)}), encoding="utf-8")
