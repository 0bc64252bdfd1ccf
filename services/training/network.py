"""The network: a BERT-like encoder, the mean over its tokens, one linear layer; and the folder it is kept in.

A folder of this module is a plain hub-style folder (`config.json`, `model.safetensors`, `tokenizer.json`) plus
`head.safetensors` and `labels.json`, so that other tools can read the encoder.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from services.errors import ConfigurationError
from services.training.vocabulary import choose_pieces, english_words, prune_tokenizer

__all__ = ["Classifier", "load_classifier", "prepare_base", "save_classifier"]


class Classifier(nn.Module):
    """`forward(input_ids, attention_mask) -> logits`, shapes (batch, width), (batch, width) and (batch, labels)."""

    def __init__(self, encoder: nn.Module, labels: tuple[str, ...]) -> None:
        super().__init__()
        self.encoder = encoder
        self.labels = labels
        self.head = nn.Linear(encoder.config.hidden_size, len(labels))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        logits: Tensor = self.head(mean.float())
        return logits


def prepare_base(base: str, target: Path, texts: list[str], pieces: int | None = None) -> Path:
    """Load `base` (a folder or a hub name), prune its vocabulary and write the result to `target`, once.

    Raises:
        ConfigurationError: the model cannot be loaded; the message says how to get one.
    """
    if (target / "config.json").is_file():
        return target
    try:
        source = Path(base) if Path(base).is_dir() else _from_hub(base)
        if not (source / "tokenizer.json").is_file():
            raise FileNotFoundError(source / "tokenizer.json")
        encoder = AutoModel.from_pretrained(source, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"base model {base!r} cannot be loaded ({error.__class__.__name__}). Give --base a folder with config.json, "
            f"model.safetensors and tokenizer.json (from a mirror of the hub, or from a colleague who has it: these three files are "
            f"enough), or the hub name intfloat/multilingual-e5-small where a hub is reachable"
        ) from error
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    #: A text counts as much as a word of frequency 1e-7: enough to keep what the posts need beyond the word list.
    words = [*english_words(), *((text, 1e-7) for text in texts)]
    kept = choose_pieces(tokenizer, words) if pieces is None else choose_pieces(tokenizer, words, pieces)
    table = encoder.get_input_embeddings().weight.data[kept].clone()
    encoder.resize_token_embeddings(len(kept), mean_resizing=False)
    encoder.get_input_embeddings().weight.data.copy_(table)
    encoder.config.vocab_size = len(kept)
    part = target.with_name(target.name + ".part")
    part.mkdir(parents=True, exist_ok=True)
    encoder.save_pretrained(part)
    prune_tokenizer(source / "tokenizer.json", part / "tokenizer.json", kept)
    part.replace(target)
    return target


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=["config.json", "model.safetensors", "tokenizer.json"]))


def load_classifier(folder: Path, labels: tuple[str, ...] | None = None) -> tuple[Classifier, Tokenizer]:
    """The classifier and its tokenizer. A folder without a head gets a fresh one, then `labels` must be given."""
    config = AutoConfig.from_pretrained(folder)
    encoder = AutoModel.from_pretrained(folder, config=config, dtype=torch.float32, add_pooling_layer=False)
    if (folder / "labels.json").is_file():
        labels = tuple(json.loads((folder / "labels.json").read_text(encoding="utf-8"))["labels"])
    if labels is None:
        raise ConfigurationError(f"{folder} holds no trained head (labels.json is missing): train the model first")
    model = Classifier(encoder, labels)
    if (folder / "head.safetensors").is_file():
        model.head.load_state_dict(load_file(folder / "head.safetensors"))
    return model, Tokenizer.from_file(str(folder / "tokenizer.json"))


def save_classifier(model: Classifier, tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that `load_classifier` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.save_pretrained(folder)
    save_file({k: v.contiguous() for k, v in model.head.state_dict().items()}, folder / "head.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "labels.json").write_text(json.dumps({"labels": list(model.labels)}), encoding="utf-8")
