"""`tidegate train | evaluate | export MODEL`: the commands, with nothing of the work in them.

Torch is imported only when a command runs, so that `tidegate --help` works in the serving environment.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.errors import ConfigurationError

__all__ = ["app", "train"]

app = typer.Typer(help="Train, evaluate and export a model.", no_args_is_help=True)

#: The base model's name on the model hub. A folder with the same files does as well.
DEFAULT_BASE = "intfloat/multilingual-e5-small"
RUNS = Path("runs")


def _needs_torch() -> None:
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"{error.name} is not installed here. Training has an environment of its own: "
            "python -m venv .venv-train && .venv-train/bin/pip install -e '.[train]', then run the command with it"
        ) from error


def _known(model: str) -> None:
    if model != "review":
        raise ConfigurationError(f"there is no model {model!r} to train; known: review")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="Which model: review.")],
    data: Annotated[Path, typer.Option(help="Folder with one sub-folder per data set.")] = Path("data"),
    base: Annotated[str, typer.Option(help="Base model: a folder or a hub name.")] = DEFAULT_BASE,
    out: Annotated[Path | None, typer.Option(help="Run folder; a run that was cut off continues from it.")] = None,
    max_texts: Annotated[int | None, typer.Option(help="Take at most this many training texts.")] = None,
    steps: Annotated[int | None, typer.Option(help="End after this many steps.")] = None,
    minutes: Annotated[float | None, typer.Option(help="End after this much training time.")] = None,
    batch: Annotated[int, typer.Option(help="Texts per step.")] = 32,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: int = 1,
) -> None:
    """Fine-tune a model. Without --steps and --minutes it sees every text once."""
    _known(model)
    _needs_torch()
    from services.training.dataset import load_dataset
    from services.training.fit import FitSettings, fit
    from services.training.labels import LABELS
    from services.training.network import load_classifier, prepare_base, save_classifier

    run = out or RUNS / model
    dataset = load_dataset(data, seed=seed, max_texts=max_texts)
    typer.echo(f"{len(dataset.train)} training texts from {len(dataset.manifest)} data sets")
    run.mkdir(parents=True, exist_ok=True)
    (run / "data.json").write_text(json.dumps(dataset.manifest_json(), indent=1), encoding="utf-8")
    typer.echo("preparing the base model (pruning the vocabulary) ...")
    folder = prepare_base(base, run / "base", [item.text for item in dataset.train if item.language == "en"])
    classifier, tokenizer = load_classifier(folder, LABELS)
    if steps is None and minutes is None:
        steps = -(-len(dataset.train) // batch)
    settings = FitSettings(
        batch=batch, seed=seed, threads=threads, steps=steps, budget_s=None if minutes is None else minutes * 60
    )
    result = fit(classifier, tokenizer, dataset.train, run, settings)
    save_classifier(classifier, tokenizer, run / "model")
    record = {
        "model": model,
        "base": DEFAULT_BASE,
        "pieces": tokenizer.get_vocab_size(),
        "settings": asdict(settings),
        "result": asdict(result),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (run / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    typer.echo(f"{result.steps} steps, {result.texts} texts in {result.seconds:.0f} s; weights in {run / 'model'}")
    typer.echo(f"next: tidegate evaluate {model} and tidegate export {model}")


@app.command()
def evaluate(model: str) -> None:
    """Placeholder"""
