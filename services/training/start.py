"""What training starts from: a base model, or a served version, which is how the shipped model is fine-tuned on data of one's own.

Promises: a folder restored from a served version computes what that version serves, but for how the engine rounds activations,
because it holds the very int8 values as float32; the calibration of its scores is in the head. It does not give back the float32
weights that were rounded when the version was exported: nothing has them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

from services.errors import ConfigurationError
from services.training.ancestry import check_start, is_served, start_of, write_start
from services.training.data.labels import LABELS
from services.training.network import Classifier, load_classifier, prepare_base, save_classifier
from services.training.rounding import restore_rows

__all__ = ["check_keeps", "keep_of_start", "prepare_start", "restore_served"]

#: The export's names of a layer's parts (graph.py), and BERT's.
_PRODUCTS = {
    "join": "attention.output.dense",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
}
_NORMS = {"norm": "attention.output.LayerNorm", "last_norm": "output.LayerNorm"}
_MIXED = ("query", "key", "value")


def prepare_start(base: str, target: Path, texts: list[str]) -> Path:
    """Write the model that `base` names (a folder, a hub name or a served version) to `target`, once.

    `texts` decide which pieces of a base model's vocabulary stay; a served version keeps the vocabulary it has.

    Raises:
        ConfigurationError: the model cannot be loaded, and the message says how to get one; or `target` was made from another.
    """
    start = start_of(base)
    if (target / "config.json").is_file():
        check_start(target, start)
        return target
    fresh = target.with_name(target.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)  # of a run that was killed here, maybe of another base
    if is_served(Path(base)):
        restore_served(Path(base), fresh)
    else:
        prepare_base(base, fresh, texts)
    write_start(fresh, start)
    fresh.replace(target)
    return target


def check_keeps(start: Path) -> None:
    """Whether there is anything to keep; before hours of training.

    Raises:
        ConfigurationError: the start knows no task: its head is chance, and averaging with it would spoil the trained one.
    """
    if not (start / "head.safetensors").is_file():
        raise ConfigurationError(
            "keep_of_start needs a start that is trained already (a served version), not a base model"
        )


def keep_of_start(model: Classifier, start: Path, share: float) -> None:
    """Average the trained weights, in place, with those of the folder that training started from, which count by `share`."""
    before = load_classifier(start)[0].state_dict()
    with torch.no_grad():
        for name, weights in model.state_dict().items():
            if weights.is_floating_point():
                weights.lerp_(before[name].to(weights.device), share)


def restore_served(version: Path, target: Path) -> None:
    """Write the classifier that `version` serves to `target`, whole or not at all.

    Raises:
        ConfigurationError: the version has other labels, or a graph (int8 activations, say) whose weights cannot be read.
    """
    import openvino

    labels = tuple(json.loads((version / "labels.json").read_text(encoding="utf-8"))["labels"])
    if labels != LABELS:
        raise ConfigurationError(
            f"{version} scores other labels ({', '.join(labels)}): start from the base model instead"
        )

    graph = openvino.Core().read_model(version / "model.xml")
    nodes = {node.get_friendly_name(): node for node in graph.get_ops()}
    if any(node.get_type_name() == "FakeQuantize" for node in nodes.values()):
        raise ConfigurationError(
            f"{version} was exported with int8 activations, which cannot be trained further. Start from the base model instead"
        )
    with np.load(version / "tables.npz") as tables:
        arrays = {name: tables[name] for name in tables.files}
    try:
        model = _classifier(nodes, arrays)
    except (KeyError, IndexError, RuntimeError) as error:
        raise ConfigurationError(
            f"{version} cannot be trained further: its graph is not one that `tidegate export` writes with int8 weights "
            f"({error.__class__.__name__}: {error}). Start from the base model instead"
        ) from error
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    save_classifier(model, Tokenizer.from_file(str(version / "tokenizer.json")), part)
    part.replace(target)


def _classifier(nodes: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Classifier:
    words = restore_rows(arrays["rows"], arrays["scales"])
    positions = arrays["positions"].astype(np.float32)
    layers = sum(name.endswith(".mix/aten::linear/MatMul") for name in nodes)
    config = BertConfig(
        vocab_size=words.shape[0],
        hidden_size=words.shape[1],
        num_hidden_layers=layers,
        num_attention_heads=int(
            nodes["__module.layers.0/aten::view/Reshape"].get_output_partial_shape(0)[3].get_length()
        ),
        intermediate_size=len(_linear(nodes, "__module.layers.0.widen")[0]),
        max_position_embeddings=positions.shape[0],
        type_vocab_size=1,
        pad_token_id=1,
        layer_norm_eps=float(nodes["__module.norm/aten::layer_norm/MVN"].get_attributes()["eps"]),
    )
    weights = {
        "embeddings.word_embeddings.weight": words,
        "embeddings.position_embeddings.weight": positions,
        # The segment vector is part of the positions.
        "embeddings.token_type_embeddings.weight": np.zeros((1, words.shape[1]), np.float32),
        **_norm(nodes, "__module.norm", "embeddings.LayerNorm", words.shape[1]),
    }
    for number in range(layers):
        weights |= _layer(nodes, f"__module.layers.{number}", f"encoder.layer.{number}")
    encoder = BertModel(config, add_pooling_layer=False)
    encoder.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    model = Classifier(encoder, LABELS)
    model.head.load_state_dict(
        {
            "weight": torch.from_numpy(arrays["head_weights"].astype(np.float32)),
            "bias": torch.from_numpy(arrays["head_bias"].astype(np.float32)),
        }
    )
    return model


def _layer(nodes: dict[str, Any], here: str, there: str) -> dict[str, NDArray[np.float32]]:
    matrix, bias = _linear(nodes, f"{here}.mix")
    found: dict[str, NDArray[np.float32]] = {}
    for name, rows, values in zip(_MIXED, np.split(matrix, 3), np.split(bias, 3), strict=True):
        found[f"{there}.attention.self.{name}.weight"] = rows
        found[f"{there}.attention.self.{name}.bias"] = values
    for mine, theirs in _PRODUCTS.items():
        found[f"{there}.{theirs}.weight"], found[f"{there}.{theirs}.bias"] = _linear(nodes, f"{here}.{mine}")
    for mine, theirs in _NORMS.items():
        found |= _norm(nodes, f"{here}.{mine}", f"{there}.{theirs}", matrix.shape[1])
    return found


def _linear(nodes: dict[str, Any], here: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Matrix (outputs, inputs) and bias (outputs,)."""
    matrix = _constant(nodes[f"{here}/aten::linear/MatMul"])
    return matrix, _vector(nodes, f"{here}/aten::linear/Add", np.zeros(len(matrix), np.float32))


def _norm(nodes: dict[str, Any], here: str, there: str, size: int) -> dict[str, NDArray[np.float32]]:
    return {
        f"{there}.weight": _vector(nodes, f"{here}/aten::layer_norm/Multiply_1", np.ones(size, np.float32)),
        f"{there}.bias": _vector(nodes, f"{here}/aten::layer_norm/Add", np.zeros(size, np.float32)),
    }


def _vector(nodes: dict[str, Any], name: str, neutral: NDArray[np.float32]) -> NDArray[np.float32]:
    """A constant of the export, which leaves out neutral ones (giving the name to a neighbour) and writes equal values once."""
    node = nodes.get(name)
    if node is None or not name.rpartition("/")[2].startswith(node.get_type_name()):
        return neutral
    return np.broadcast_to(_constant(node), neutral.shape)


def _constant(node: Any) -> NDArray[np.float32]:
    """The constant operand of a product or sum: a matrix (outputs, inputs) or a vector. Compressed ones are computed first."""
    import openvino

    operand = node.input_value(1)
    model = openvino.Model([operand.get_node().output(operand.get_index())], [], "constant")
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    value = np.asarray(next(iter(openvino.compile_model(model, "CPU", options)([]).values())), np.float32)
    return value.reshape(-1) if value.size == value.shape[-1] else value
