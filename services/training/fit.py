"""The training loop: masked loss, budgeted decay, checkpoints that a killed run continues from.

Promises: with a step count (no time budget) an interrupted and resumed run computes what the uninterrupted run computes;
with a time budget the learning rate follows the share of the budget that is used, and the clock goes on where it
stopped. A checkpoint appears whole or not at all, and a run that is killed or told to stop continues from the last whole one,
unless other settings, texts, targets or starting weights are given to it: then it refuses, and says which. Nor does a full disk end it.
Word embeddings stay frozen: rare pieces keep their pretrained place. Devices, precision and several GPUs are Accelerate's
business: under `accelerate launch` each process takes its share of every batch.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tokenizers import Tokenizer
from torch import Tensor

from services.errors import ConfigurationError
from services.training.arithmetic import fast_bf16
from services.training.batches import batch_order
from services.training.board import Board
from services.training.cpu_encoder import train_fast_on_cpu
from services.training.data.dataset import Item
from services.training.identity import differences, digest_of_texts, digest_of_weights, without_digests
from services.training.network import Classifier

__all__ = ["FitResult", "FitSettings", "fit", "masked_loss"]

_LOG_EVERY = 10
#: Padding of a batch; the mask hides it, so any piece would do.
_PAD = 1


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Hyper-parameters. The run ends after `steps` or `budget_s`, whichever comes first; one of them must be set."""

    batch: int = 32
    width: int = 128
    learning_rate: float = 1e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warm_up: float = 0.06
    #: Targets are drawn this far from 0 and 1: annotators err, and a calibrated score must be able to say so.
    smoothing: float = 0.02
    seed: int = 1
    threads: int = 2
    steps: int | None = None
    budget_s: float | None = None
    checkpoint_s: float = 180.0


@dataclass(frozen=True, slots=True)
class FitResult:
    """What the run did; `finished` is false when it was told to stop before its end."""

    steps: int
    texts: int
    seconds: float
    last_loss: float
    finished: bool


def masked_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over the known targets; NaN marks a label that is not known of a text."""
    known = ~torch.isnan(targets)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.nan_to_num(targets), reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def fit(model: Classifier, tokenizer: Tokenizer, items: list[Item], out: Path, settings: FitSettings) -> FitResult:
    """Train in place; checkpoints and TensorBoard logs go to `out`.

    Raises:
        ConfigurationError: neither steps nor budget, no text, or the checkpoint belongs to another run.
    """
    if settings.steps is None and settings.budget_s is None:
        raise ConfigurationError("training needs an end: give --steps or --minutes")
    if not items:
        raise ConfigurationError("there is no training text left after cleaning and the removal of held-out copies")
    run = _Run(model, tokenizer, items, out, settings)
    with _told_to_stop() as stop:
        return run.go(stop)


class _Run:
    """State of one training run."""

    def __init__(
        self, model: Classifier, tokenizer: Tokenizer, items: list[Item], out: Path, settings: FitSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        torch.set_num_threads(settings.threads)
        self.settings, self.out = settings, out
        on = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.accelerator = Accelerator(mixed_precision="bf16" if fast_bf16(on) else "no", cpu=on.type == "cpu")
        model.encoder.get_input_embeddings().weight.requires_grad = False
        if self.accelerator.device.type == "cpu":
            train_fast_on_cpu(model.encoder, settings.seed)
        self.ids = _encode(tokenizer, items, settings.width)
        targets = torch.tensor([item.targets for item in items])
        self.targets = targets * (1 - 2 * settings.smoothing) + settings.smoothing
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in model.encoder.parameters() if p.requires_grad], "lr": settings.learning_rate},
                {"params": list(model.head.parameters()), "lr": settings.head_learning_rate},
            ],
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.peaks = [group["lr"] for group in optimizer.param_groups]
        self.plain_model = model
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.step, self.texts, self.spent, self.loss = 0, 0, 0.0, float("nan")
        self.checkpoint = out / "checkpoint.pt"
        self.identity = {
            **asdict(settings), "checkpoint_s": None, "threads": None,
            "texts": len(items), "content": digest_of_texts(self.ids, targets), "start": digest_of_weights(model.encoder),
        }  # fmt: skip
        out.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.is_file():
            self._load()

    def go(self, stop: threading.Event) -> FitResult:
        settings = self.settings
        self.model.train()
        began, saved = time.monotonic() - self.spent, time.monotonic()
        total = settings.steps or -(-len(self.ids) // settings.batch)
        with Board(self.out / "tensorboard") as board, _progress() as bar:
            task = bar.add_task("", total=total, completed=self.step, loss=self.loss, share=0.0)
            for indexes in batch_order([len(x) for x in self.ids], settings.batch, settings.seed, self.step):
                self.spent = time.monotonic() - began
                share = self._share()
                if share >= 1.0 or stop.is_set():
                    break
                norm = self._one_step(indexes, share)
                bar.update(task, completed=self.step, loss=self.loss, share=100 * share)
                if self.step % _LOG_EVERY == 0:
                    scalars = {
                        "train/loss": self.loss,
                        "train/gradient_norm": norm,
                        "train/learning_rate": self.optimizer.param_groups[0]["lr"],
                        "train/texts_per_second": self.texts / max(self.spent, 1e-9),
                    }
                    board.add(self.step, scalars)
                if time.monotonic() - saved > settings.checkpoint_s:
                    self.spent = time.monotonic() - began
                    self._save()
                    saved = time.monotonic()
        self.spent = time.monotonic() - began
        self._save()
        self.model.eval()
        return FitResult(self.step, self.texts, self.spent, self.loss, finished=self._share() >= 1.0)

    def _share(self) -> float:
        """How much of the run is done, 0 to 1."""
        by_steps = self.step / self.settings.steps if self.settings.steps else 0.0
        return max(by_steps, self.spent / self.settings.budget_s if self.settings.budget_s else 0.0)

    def _one_step(self, indexes: list[int], share: float) -> float:
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * _rate(share, self.settings.warm_up)
        mine = indexes[self.accelerator.process_index :: self.accelerator.num_processes] or indexes[:1]
        device = self.accelerator.device
        width = max(len(self.ids[i]) for i in mine)
        tokens = torch.tensor([self.ids[i] + [_PAD] * (width - len(self.ids[i])) for i in mine], device=device)
        mask = torch.tensor([[1] * len(self.ids[i]) + [0] * (width - len(self.ids[i])) for i in mine], device=device)
        with self.accelerator.autocast():
            logits = self.model(tokens, mask)
        loss = masked_loss(logits.float(), self.targets[mine].to(device))
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step, self.texts, self.loss = self.step + 1, self.texts + len(indexes), float(loss.detach())
        return float(norm)

    def _load(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True, map_location="cpu")
        changed = differences(state["identity"], self.identity)
        if changed:
            raise ConfigurationError(
                f"{self.checkpoint} was made with other settings or data ({', '.join(changed)}): remove it or use another --out"
            )
        if without_digests(state["identity"]):
            Console(stderr=True).print(
                f"{self.checkpoint} is of an earlier Tidegate, which did not note the texts a run was trained on: it is continued with "
                f"those that are here now.", style="yellow"
            )  # fmt: skip
        self.plain_model.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["rng"])
        self.step, self.texts, self.spent, self.loss = state["step"], state["seen"], state["spent"], state["loss"]

    def _save(self) -> None:
        """Whole or not at all: written beside the last one, then renamed."""
        if not self.accelerator.is_main_process:
            return
        part = self.checkpoint.with_suffix(".part")
        weights = {k: v for k, v in self.plain_model.state_dict().items() if not k.endswith("word_embeddings.weight")}
        state = {
            "identity": self.identity, "model": weights, "optimizer": self.optimizer.state_dict(), "loss": self.loss,
            "rng": torch.get_rng_state(), "step": self.step, "seen": self.texts, "spent": self.spent,
        }  # fmt: skip
        try:
            torch.save(state, part)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
            part.unlink(missing_ok=True)
            Console(stderr=True).print(
                f"The checkpoint could not be written ({error.__class__.__name__}: is the disk full?). Training goes on; the last "
                f"whole checkpoint is {self.checkpoint}.", style="yellow"
            )  # fmt: skip
            return
        part.replace(self.checkpoint)


def _encode(tokenizer: Tokenizer, items: list[Item], width: int) -> list[list[int]]:
    tokenizer.no_padding()
    tokenizer.enable_truncation(width)
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast([item.text for item in items])]
    tokenizer.no_truncation()
    return ids


def _rate(share: float, warm_up: float) -> float:
    """Linear warm-up, then linear decay to zero, as factors of the peak rate."""
    return share / warm_up if share < warm_up else max(0.0, (1.0 - share) / (1.0 - warm_up))


def _progress() -> Progress:
    return Progress(
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[share]:.0f} % of the run"),
        TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn(),
    )  # fmt: skip


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM end the run after the step, with a checkpoint."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before: dict[int, Any] = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
