"""`tidegate evaluate MODEL`: its options, and where things lie when they are not said."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.screen import notes, output
from services.errors import ConfigurationError
from services.training.environment import known_model, needs_torch

__all__ = ["evaluate_command"]

RUNS = Path("runs")


def evaluate_command(
    model: Annotated[str, typer.Argument(help="Which model: review.")],
    *,
    run: Annotated[
        Path | None, typer.Option("--run", help="Run folder. Default: runs/MODEL.", show_default=False)
    ] = None,
    served: Annotated[
        Path | None, typer.Option("--served", help="Exported model. Default: RUN/served.", show_default=False)
    ] = None,
    public: Annotated[
        Path | None,
        typer.Option("--public", help="Folder with the public data sets. Default: the run's.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file with the data. Default: the run's.", show_default=False)
    ] = None,
    suite: Annotated[str, typer.Option("--suite", help="standard, or quick: a sample, to see that nothing broke.")] = (
        "standard"
    ),
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Where the figures go. Default: RUN/metrics.json.", show_default=False),
    ] = None,
    card: Annotated[
        Path | None, typer.Option("--card", help="Model card to write the figures into.", show_default=False)
    ] = None,
) -> None:
    """Measure an exported model on texts it was never trained on, beside trivial and published baselines.

    Labels by language, public tasks, functional tests, identity terms, evasion, outside sets, what quantisation changed, and whether
    the deciding spans decide. Every figure has a 95 % interval. The first standard run also fits the TF-IDF baselines and keeps them.
    """
    known_model(model)
    needs_torch()
    from services.training.config import load_config
    from services.training.evaluation.card import update_card
    from services.training.evaluation.evaluate import evaluate
    from services.training.evaluation.record import write_evaluation
    from services.training.evaluation.report import print_report
    from services.training.evaluation.suites import suite_named
    from services.training.packaging import METRICS_FILE, run_config
    from services.training.trained_on import trained_on

    chosen = suite_named(suite)
    folder = run or RUNS / model
    if served is None and not folder.is_dir():
        raise ConfigurationError(f"{folder} is no run folder: name one with --run, or an exported model with --served")
    settings = run_config(folder, public)
    if config is not None:
        settings = load_config(config)
        if public is not None:
            settings = settings.model_copy(update={"data": settings.data.model_copy(update={"public": public})})
    found = evaluate(model, folder, served or folder / "served", settings, chosen)
    print_report(found, output())
    target = json_file or folder / METRICS_FILE
    write_evaluation(found, target)
    notes().print(f"figures in {target}", markup=False, soft_wrap=True)
    if card is not None:
        update_card(card, found.document(), trained_on(folder))
        notes().print(f"figures in {card}", markup=False, soft_wrap=True)
