"""`tidegate train | evaluate | export | promote | explain MODEL`: the commands, with nothing of the work in them.

Torch is imported only when a command that needs it runs, so that `tidegate --help` works in the serving environment.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.errors import ConfigurationError
from services.training.environment import known_model, needs_torch
from services.training.evaluation.command import evaluate_command
from services.training.release_commands import explain_command, export_command, promote_command

if TYPE_CHECKING:
    from services.training.config import TrainConfig
    from services.training.data.dataset import Dataset

__all__ = ["app", "train"]

app = typer.Typer(help="Train, evaluate, export and promote a model.", no_args_is_help=True)

app.command("evaluate")(evaluate_command)
app.command("export")(export_command)
app.command("promote")(promote_command)
app.command("explain")(explain_command)

RUNS = Path("runs")

ModelArgument = Annotated[str, typer.Argument(help="Which model: review.")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run folder. Default: runs/MODEL.", show_default=False)]
PublicOption = Annotated[
    Path | None,
    typer.Option("--public", help="Folder with the public data sets, one sub-folder each.", show_default=False),
]


@app.command()
def train(
    model: ModelArgument,
    config: Annotated[
        Path | None, typer.Option(help="YAML file. Default: the shipped model's.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; a run that was cut off continues from it.")] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="Base model: a folder, a hub name, or a served version to train on (model_repo/review/7).",
            show_default=False,
        ),
    ] = None,
    public: PublicOption = None,
    steps: Annotated[int | None, typer.Option(min=1, help="End after this many steps.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.01, help="End after this much training time.")] = None,
    folds: Annotated[int, typer.Option(min=0, help="Cross-validate with this many folds first.")] = 0,
) -> None:
    """Fine-tune a model. Run it again to continue one that was interrupted.

    The configuration names your CSV or JSONL files (a text and labels, which may be missing), the public sets and the
    hyper-parameters; see services/training/configs/example.yaml. Progress is shown here and in TensorBoard (RUN/tensorboard).
    """
    known_model(model)
    if folds == 1:
        raise ConfigurationError(
            "--folds 1 holds every text out and trains on none: give 2 or more, or 0 for no cross-validation"
        )
    needs_torch()
    from services.training.config import SHIPPED_CONFIG, load_config

    settings = load_config(config or SHIPPED_CONFIG)
    update: dict[str, object] = {}
    if base is not None:
        update["base"] = base
    if public is not None:
        update["data"] = settings.data.model_copy(update={"public": public})
    if steps is not None or minutes is not None:
        update |= {"steps": steps, "minutes": minutes}
    _train(model, settings.model_copy(update=update), out or RUNS / model, folds)


def _train(model: str, config: TrainConfig, run: Path, folds: int) -> None:
    from services.training.ancestry import ancestors_of, data_changed_since, name_of
    from services.training.cross_validation import cross_validate
    from services.training.data.labels import LABELS
    from services.training.data.load import load_config_data
    from services.training.fit import FitSettings, fit
    from services.training.network import load_classifier, save_classifier
    from services.training.start import check_keeps, keep_of_start, prepare_start
    from services.training.trained_on import DATA_FILE

    commit = _commit()  # of the code that runs, not of what is checked out when it ends
    typer.echo("reading and cleaning the data ...")
    dataset = load_config_data(config, run, fetch=True)
    typer.echo(f"{len(dataset.train)} training texts from {sum(m.train > 0 for m in dataset.manifest)} data sets")
    _check_validation_texts(dataset)
    if not dataset.test:
        sentence = "no text is held out for tests: `tidegate evaluate` will need some (`test` in the split column)"
        typer.secho(sentence, fg="yellow", err=True)
    _warn_of_empty_classes(dataset)
    ancestors = ancestors_of(config.base)
    for sentence in data_changed_since(ancestors, {entry.name: entry.sha256 for entry in dataset.manifest}):
        typer.secho(sentence, fg="yellow", err=True)
    run.mkdir(parents=True, exist_ok=True)
    typer.echo("preparing the model to start from ...")
    folder = prepare_start(config.base, run / "base", [item.text for item in dataset.train])
    if config.keep_of_start:
        check_keeps(folder)
    steps = config.steps
    if steps is None and config.minutes is None:
        steps = max(1, round(len(dataset.train) / config.batch * config.epochs))
    settings = FitSettings(
        batch=config.batch,
        width=config.width,
        learning_rate=config.learning_rate,
        head_learning_rate=config.head_learning_rate,
        smoothing=config.smoothing,
        seed=config.seed,
        threads=config.threads,
        steps=steps,
        budget_s=None if config.minutes is None else config.minutes * 60,
        checkpoint_s=config.checkpoint_minutes * 60,
    )
    if folds:
        cross_validate(folder, dataset, run, settings, folds)
    classifier, tokenizer = load_classifier(folder, LABELS)
    result = fit(classifier, tokenizer, dataset.train, run, settings)
    if not result.finished:
        typer.echo(f"stopped after {result.steps} steps; the same command continues from {run / 'checkpoint.pt'}")
        raise typer.Exit(130)
    # Only now: a run that was refused because its data changed keeps the manifest of the weights it has.
    (run / DATA_FILE).write_text(json.dumps(dataset.manifest_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    if config.keep_of_start:
        keep_of_start(classifier, folder, config.keep_of_start)
    save_classifier(classifier, tokenizer, run / "model")
    record = {
        "model": model,
        "base": name_of(config.base),
        "ancestors": [ancestor.model_dump(mode="json") for ancestor in ancestors],
        "pieces": tokenizer.get_vocab_size(),
        "config": config.model_dump(mode="json"),
        "settings": asdict(settings),
        "result": asdict(result),
        "commit": commit,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    (run / "run.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    typer.echo(f"{result.steps} steps, {result.texts} texts in {result.seconds:.0f} s; weights in {run / 'model'}")
    typer.echo(f"next: tidegate export {model}, tidegate evaluate {model}, tidegate promote {model}")


def _check_validation_texts(dataset: Dataset) -> None:
    """Before hours of training: the export calibrates on validation texts, and refuses to go on without any.

    Raises:
        ConfigurationError: the data has none that may shape weights.
    """
    if not dataset.valid_to_learn_from():
        raise ConfigurationError(
            "the data has no validation text of a trainable set, and `tidegate export` needs some to calibrate the scores. Mark rows "
            "with `valid` in the column that `split:` names, or leave `split:` out: then a tenth of the texts, by their hash, is "
            "for validation (more texts may be needed)"
        )


def _warn_of_empty_classes(dataset: Dataset) -> None:
    from services.training.data.labels import LABELS

    for label in LABELS:
        positives = sum(m.positives.get(label, 0) for m in dataset.manifest)
        negatives = sum(m.negatives.get(label, 0) for m in dataset.manifest)
        if not positives or not negatives:
            missing = "positive" if not positives else "negative"
            typer.secho(f"{label}: no {missing} text; its score will mean nothing", fg="yellow", err=True)


def _commit() -> str:
    """The checked-out commit, with `-dirty` where tracked files differ from it; empty outside a repository."""
    # Without locks: somebody else may be at work in the same checkout.
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()
