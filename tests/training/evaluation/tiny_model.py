"""An exported model small enough for a test, for the real engine: the word `bad` is toxic, `spam` is spam, all others are nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ov
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from services.training.data.labels import LABELS

_WORDS = ("<s>", "<pad>", "</s>", "<unk>", "bad", "spam")
_SIZE = 4


def write_tiny_model(folder: Path, labels: tuple[str, ...] = LABELS) -> Path:
    folder.mkdir(parents=True)
    embeddings = ov.parameter([1, -1, _SIZE], np.float32, name="embeddings")
    segments = ov.parameter([1, -1], np.float32, name="segments")
    nothing = ov.multiply(ov.unsqueeze(segments, ov.constant(2)), ov.constant(np.float32(0)))
    states = ov.add(embeddings, nothing)
    model = openvino.Model([states], [embeddings, segments])
    for port, name in zip(model.inputs, ("embeddings", "segments"), strict=True):
        port.get_tensor().set_names({name})
    openvino.save_model(model, folder / "model.xml")
    rows = np.zeros((len(_WORDS), _SIZE), np.int8)
    rows[_WORDS.index("bad"), 0] = 100
    rows[_WORDS.index("spam"), 1] = 100
    weights = np.zeros((len(labels), _SIZE), np.float32)
    weights[labels.index("toxicity"), 0] = 60
    weights[labels.index("spam"), 1] = 60
    np.savez(
        folder / "tables.npz",
        rows=rows,
        scales=np.full(len(_WORDS), 0.01, np.float32),
        positions=np.zeros((512, _SIZE), np.float16),
        head_weights=weights,
        head_bias=np.full(len(labels), -3, np.float32),
    )
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "labels.json").write_text(json.dumps({"labels": list(labels)}), encoding="utf-8")
    return folder
