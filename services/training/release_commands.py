"""`tidegate export | promote | explain MODEL`: from a trained run to a version in service, and what that version says of a text.

`export` needs the training environment; `promote` and `explain` need only what serves. Exit code 1 means that nothing changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.cli.connection import DataOption
from services.cli.screen import notes, output
from services.errors import ConfigurationError
from services.training.environment import known_model, needs_torch
from services.training.gate import Check, failed
from services.training.promotion import ModelServer, locked, now, promote, recover, roll_back, was_cut_off
from services.training.versions import ModelFolder, Promotion, size_of

__all__ = ["explain_command", "export_command", "promote_command"]

ModelArgument = Annotated[str, typer.Argument(help="Which model: review.")]
RunOption = Annotated[Path | None, typer.Option("--run", help="Run folder. Default: runs/MODEL.", show_default=False)]
RepositoryOption = Annotated[
    Path | None,
    typer.Option(
        "--repository", help="Folder of Triton models. Default: the project's model_repo.", show_default=False
    ),
]


def export_command(
    model: ModelArgument,
    *,
    run: RunOption = None,
    to: Annotated[Path | None, typer.Option("--to", help="Default: RUN/served.", show_default=False)] = None,
    public: Annotated[
        Path | None,
        typer.Option("--public", help="Folder with the public data sets. Default: the run's.", show_default=False),
    ] = None,
    int8_activations: Annotated[
        bool,
        typer.Option(
            "--int8-activations",
            help="Not only weights: faster on a CPU without bf16, and some decisions change. `evaluate` says how many.",
        ),
    ] = False,
) -> None:
    """Calibrate and quantise a trained model into a version that Triton serves."""
    known_model(model)
    needs_torch()
    from services.training.data.load import load_config_data
    from services.training.packaging import check_trained, export_run, run_config
    from services.training.trained_on import check_held_out

    run = run or Path("runs") / model
    target = to or run / "served"
    check_trained(run)
    typer.echo("reading the data, for its validation texts ...")
    dataset = load_config_data(run_config(run, public), run)
    check_held_out(run, dataset.manifest)
    export_run(model, run, target, dataset, int8_activations=int8_activations)
    sizes = size_of(target)
    for name, size in sizes.items():
        typer.echo(f"  {size / 1e6:6.2f} MB  {name}")
    typer.echo(f"  {sum(sizes.values()) / 1e6:6.2f} MB  in {target}")
    typer.echo(f"next: tidegate evaluate {model}, tidegate promote {model}")


def promote_command(  # noqa: PLR0913 - a command has as many options as its users need
    model: ModelArgument,
    *,
    run: RunOption = None,
    repository: RepositoryOption = None,
    rollback: Annotated[bool, typer.Option("--rollback", help="Go back to the version before.")] = False,
    force: Annotated[
        str | None,
        typer.Option("--force", metavar="REASON", help="Promote although the gate fails; the reason is recorded."),
    ] = None,
    live_metrics: Annotated[
        Path | None,
        typer.Option(
            "--live-metrics", help="Figures of the live version. Default: those it went live with.", show_default=False
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the versions on disk and change nothing.")] = False,
    triton_http: Annotated[
        str | None, typer.Option("--triton-http", metavar="HOST:PORT", help="A Triton that reads this repository.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Change only files; the next start serves them.")] = False,
    data: DataOption = None,
) -> None:
    """Put an exported version into service, if it passes the gate: better or equal, no slower, no larger.

    Triton loads it while the live version goes on answering; if it refuses, everything stays as it was. Old versions stay on disk
    (five of them), so that --rollback takes seconds. The live version is the one that config.pbtxt names.
    """
    known_model(model)
    if force is not None and not force.strip():
        raise ConfigurationError("--force needs a reason: it is recorded in the version's version.json")
    folder = ModelFolder.of(repository or _own_repository(), model)
    if list_:
        _list(folder)
        return
    server = _server(folder.path.parent, triton_http, data, offline=offline)
    with locked(folder):
        undone = recover(folder, server, _tell)
        if rollback and undone == "promotion":
            # That was what had to be taken back. Going on would withdraw the version that has just been kept.
            typer.echo(f"version {folder.live()} is live{_where(server)}; to go back one more, give --rollback again")
            return
        if rollback:
            left, taken = roll_back(folder, server, _tell)
            typer.echo(f"version {taken} is live{_where(server)}; version {left} stays on disk")
            return
        _promote(folder, run or Path("runs") / model, server, force, live_metrics)


def _promote(
    folder: ModelFolder, run: Path, server: ModelServer | None, force: str | None, live_metrics: Path | None
) -> None:
    from services.training.acceptance import check_against_live, read_candidate

    candidate = read_candidate(folder, run)
    checks = check_against_live(folder, candidate, _tell, live_metrics)
    _show(checks)
    against = failed(checks)
    if against and force is None:
        for check in against:
            notes().print(f"the gate fails: {check.sentence}", style="red", markup=False, soft_wrap=True)
        notes().print('nothing was changed; --force "REASON" promotes it all the same', soft_wrap=True)
        raise typer.Exit(1)
    promotion = Promotion(
        at=now(),
        replaces=folder.live(),
        failed=[check.sentence for check in against],
        forced=force if against else None,
    )
    record = candidate.record.model_copy(update={"promotion": promotion})
    number = promote(folder, candidate.served, record, server, _tell)
    typer.echo(f"version {number} is live{_where(server)}; back: tidegate promote {folder.name} --rollback")


def explain_command(
    model: ModelArgument,
    text: Annotated[str, typer.Argument(help="The text, or - for standard input.")],
    folder: Annotated[
        Path | None, typer.Option("--model", help="Exported model to use instead of the live one.", show_default=False)
    ] = None,
    repository: RepositoryOption = None,
    data: DataOption = None,
) -> None:
    """Show a text's scores, the policy's action, and the words that decided: by the Triton that runs, else in this process."""
    known_model(model)
    from services.review.policy import load_policy
    from services.training.explanation import score_by_engine, score_by_triton, show
    from services.training.live import embedded_grpc

    content = _text(text)
    grpc = None if folder is not None else os.environ.get("TIDEGATE_TRITON_GRPC") or embedded_grpc(data)
    if grpc is not None:
        from services.inference import TritonInference
        from services.settings import make_settings

        inference = TritonInference(make_settings(triton_grpc=grpc))
        try:
            scored = score_by_triton(inference, model, content)
        finally:
            inference.close()
    else:
        scored = score_by_engine(
            folder or _live_folder(ModelFolder.of(repository or _own_repository(), model)), content
        )
    show(content, scored, load_policy(), output())


def _text(given: str) -> str:
    try:
        text = sys.stdin.buffer.read().decode("utf-8") if given == "-" else given
        text.encode("utf-8")
    except UnicodeError:
        raise ConfigurationError("the text is not UTF-8") from None
    from services.settings import load_settings

    longest = load_settings().max_text_length
    if len(text) > longest:
        raise ConfigurationError(f"the text has {len(text)} code points; the limit is {longest}")
    return text


def _live_folder(folder: ModelFolder) -> Path:
    live = folder.live()
    if live is None:
        raise ConfigurationError(f"{folder.path} has no version: name an exported model with --model FOLDER")
    return folder.version_path(live)


def _own_repository() -> Path:
    return Path(__file__).resolve().parents[2] / "model_repo"


def _server(repository: Path, triton_http: str | None, data: Path | None, *, offline: bool) -> ModelServer | None:
    from services.training.live import embedded_triton, triton_at

    if offline:
        return None
    return triton_at(triton_http) if triton_http is not None else embedded_triton(data, repository)


def _where(server: ModelServer | None) -> str:
    return "" if server is not None else " in the files; the next start of Triton serves it"


def _show(checks: Sequence[Check]) -> None:
    table = Table(title="gate", title_justify="left")
    table.add_column("check")
    for heading in ("live", "new", "limit", "room"):
        table.add_column(heading, justify="right")
    for check in checks:
        name = Text(f"{check.kind} {check.name}", "" if check.passed else "bold red")
        if check.note:
            table.add_row(Text.assemble(name, f": {check.note}"))
        else:
            live, new, limit = (f"{value:.4g}" for value in (check.live, check.new, check.limit))
            room = Text(f"{check.room:+.4g}", "green" if check.passed else "bold red")
            table.add_row(name, live, new, limit, room)
    output().print(table)


def _list(folder: ModelFolder) -> None:
    live = folder.live()
    table = Table(title=f"{folder.name} in {folder.path}", title_justify="left")
    for heading in ("version", "promoted", "replaced", "exported", "commit", "MB", ""):
        table.add_column(heading)
    for number in folder.versions():
        record = folder.record(number)
        promotion = record.promotion if record else None
        table.add_row(
            f"{number} live" if number == live else str(number),
            promotion.at if promotion else "",
            str(promotion.replaces or "") if promotion else "",
            record.created if record else "",
            _short(record.commit) if record else "",
            f"{sum(size_of(folder.version_path(number)).values()) / 1e6:.1f}",
            _remark(promotion),
        )
    output().print(table)
    if was_cut_off(folder):
        _tell("a promotion is under way, or was cut off: then the next promote or --rollback undoes it")


def _short(commit: str) -> str:
    name, mark, dirty = commit.partition("-")
    return name[:10] + mark + dirty


def _remark(promotion: Promotion | None) -> Text:
    remark = Text()
    if promotion is not None and promotion.forced:
        remark.append(f"forced: {promotion.forced} ")
    if promotion is not None and promotion.withdrawn:
        remark.append(f"withdrawn {promotion.withdrawn}")
    return remark


def _tell(sentence: str) -> None:
    notes().print(sentence, markup=False, soft_wrap=True)
