"""The training loop: masked loss, budgeted decay, checkpoints that a killed run continues from.

Promises: with a step count (no time budget) an interrupted and resumed run computes what the uninterrupted run computes;
with a time budget the learning rate follows the share of the budget that is used, and the clock goes on where it
stopped. A checkpoint appears whole or not at all. Word embeddings stay frozen: rare pieces keep their pretrained place.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from services.errors import ConfigurationError
from services.training.batches import batch_order
from services.training.dataset import Item
from services.training.network import Classifier

__all__ = ["FitResult", "FitSettings", "fit", "masked_loss"]


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Hyper-parameters. The run ends after `steps` or `budget_s`, whichever comes first; one of them must be set."""

    batch: int = 32
    width: int = 128
    learning_rate: float = 5e-5
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.06
    seed: int = 1
    threads: int = 2
    steps: int | None = None
    budget_s: float | None = None
    checkpoint_s: float = 180.0


@dataclass(frozen=True, slots=True)
class FitResult:
    steps: int
    texts: int
    seconds: float
    last_loss: float


def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over the known targets; NaN marks a label that is not known of a text."""
    known = ~torch.isnan(targets)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.nan_to_num(targets), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _rate(progress: float, warm_up: float) -> float:
    return progress / warm_up if progress < warm_up else max(0.0, (1.0 - progress) / (1.0 - warm_up))


def fit(model: Classifier, tokenizer: Tokenizer, items: list[Item], out: Path, settings: FitSettings) -> FitResult:
    """Train in place; checkpoints and TensorBoard logs go to `out`.

    Raises:
        ConfigurationError: neither steps nor budget, or the checkpoint belongs to another run.
    """
    if settings.steps is None and settings.budget_s is None:
        raise ConfigurationError("training needs an end: give --steps or --minutes")
    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    model.encoder.get_input_embeddings().weight.requires_grad_(False)
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.width)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast([item.text for item in items])]
    tokenizer.no_truncation()
    targets = torch.tensor([item.targets for item in items])
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.encoder.parameters() if p.requires_grad], "lr": settings.learning_rate},
            {"params": list(model.head.parameters()), "lr": settings.head_learning_rate},
        ],
        weight_decay=settings.weight_decay,
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    out.mkdir(parents=True, exist_ok=True)
    step, texts, spent, loss_value = 0, 0, 0.0, float("nan")
    checkpoint = out / "checkpoint.pt"
    identity = {**asdict(settings), "texts": len(items), "checkpoint_s": None, "threads": None}
    if checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        if state["identity"] != identity:
            raise ConfigurationError(
                f"{checkpoint} was made with other settings or data: remove it or use another --out"
            )
        model.load_state_dict(state["model"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        step, texts, spent, loss_value = state["step"], state["seen"], state["spent"], state["loss"]

    def save() -> None:
        part = checkpoint.with_suffix(".part")
        weights = {k: v for k, v in model.state_dict().items() if not k.endswith("word_embeddings.weight")}
        torch.save(
            {
                "identity": identity,
                "model": weights,
                "optimizer": optimizer.state_dict(),
                "loss": loss_value,
                "rng": torch.get_rng_state(),
                "step": step,
                "seen": texts,
                "spent": spent,
            },
            part,
        )
        os.replace(part, checkpoint)

    model.train()
    began, saved = time.monotonic() - spent, time.monotonic()
    total = settings.steps or -(-len(items) // settings.batch)
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with SummaryWriter(str(out / "tensorboard")) as board, Progress(*columns) as bar:
        task = bar.add_task("", total=total, completed=step, loss=loss_value)
        for indexes in batch_order([len(x) for x in ids], settings.batch, settings.seed, step):
            spent = time.monotonic() - began
            progress = max(step / settings.steps if settings.steps else 0, spent / (settings.budget_s or float("inf")))
            if progress >= 1.0:
                break
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * _rate(progress, settings.warm_up)
            width = max(len(ids[i]) for i in indexes)
            tokens = torch.tensor([ids[i] + [1] * (width - len(ids[i])) for i in indexes])
            mask = torch.tensor([[1] * len(ids[i]) + [0] * (width - len(ids[i])) for i in indexes])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(tokens, mask)
            loss = masked_loss(logits.float(), targets[indexes])
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step, texts, loss_value = step + 1, texts + len(indexes), float(loss.detach())
            bar.update(task, completed=step, loss=loss_value)
            if step % 10 == 0:
                board.add_scalar("train/loss", loss_value, step)
                board.add_scalar("train/gradient_norm", float(norm), step)
                board.add_scalar("train/learning_rate", optimizer.param_groups[0]["lr"], step)
                board.add_scalar("train/texts_per_second", texts / max(time.monotonic() - began, 1e-9), step)
            if time.monotonic() - saved > settings.checkpoint_s:
                spent = time.monotonic() - began
                save()
                saved = time.monotonic()
    spent = time.monotonic() - began
    save()
    model.eval()
    return FitResult(step, texts, spent, loss_value)
