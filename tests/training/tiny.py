"""A BERT of two layers and 32 dimensions with a tokenizer of about 500 pieces, made from nothing, and texts to train it on."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel

from services.training.data.dataset import Item
from services.training.data.labels import LABELS
from services.training.network import Classifier, load_classifier

__all__ = ["classifier", "items", "texts", "write_base"]

_GOOD = ["museum", "opens", "ten", "garden", "behind", "free", "meet", "front", "library", "the", "and", "at"]
_BAD = ["shut", "up", "rude", "awful", "fool", "away", "nobody", "likes", "nasty", "clown", "you", "are"]
_HAN = "我们明天去图书馆还书然后在门口见面你好谢谢天气很好"


def texts(count: int, seed: int = 1) -> list[tuple[str, bool]]:
    """Made-up sentences, every other one rude."""
    randomness = random.Random(seed)
    found = []
    for number in range(count):
        bad = number % 2 == 1
        words = randomness.choices(_BAD if bad else _GOOD, k=randomness.randint(3, 14))
        if number % 5 == 0:
            words.append("".join(randomness.choices(_HAN, k=6)))
        found.append((" ".join([*words, str(number)]), bad))
    return found


def items(count: int, seed: int = 1) -> list[Item]:
    """Training texts with one label known, and the others not."""
    column = LABELS.index("toxicity")

    def targets(bad: bool) -> tuple[float, ...]:  # noqa: FBT001
        return tuple(float(bad) if place == column else float("nan") for place in range(len(LABELS)))

    return [Item(text, targets(bad), "toy", "en") for text, bad in texts(count, seed)]


def write_base(folder: Path) -> Path:
    """`config.json`, `model.safetensors` and `tokenizer.json`, the same on every machine."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=500, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    lines = [text for text, _ in texts(400, seed=7)]
    tokenizer.train_from_iterator([*lines, *(f"{a}{b} {c}" for a in "qxzjkv" for b in "wyfbp" for c in _HAN)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=140, hidden_dropout_prob=0.1,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def classifier(base: Path) -> tuple[Classifier, Tokenizer]:
    """A fresh classifier, the same every time."""
    torch.manual_seed(5)
    return load_classifier(base, LABELS)
