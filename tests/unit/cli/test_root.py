"""The command itself: its help, its exit codes, and what it must not import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest
import typer

from services.cli import main, root
from services.cli.root import COMMANDS, Entry, load
from services.errors import ConfigurationError, DeadLetterReason, PermanentError, TransientError

OWN = [entry for entry in COMMANDS if entry.reference.startswith("services.cli.")]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def command_that(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """`tidegate status` does `act`."""
    app = typer.Typer(add_completion=False)
    app.command()(act)
    monkeypatch.setattr(root, "load", lambda _entry: typer.main.get_command(app))


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    for entry in COMMANDS:
        assert f" {entry.name} " in text


def test_the_help_imports_no_command_and_no_client() -> None:
    program = (
        "import sys\nfrom services.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'kafka', 'psycopg', 'tritonclient', 'celery', 'torch', 'numpy', 'pydantic', 'deploy'} & set(sys.modules)\n"
        "sys.exit(','.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_the_short_help_is_the_first_sentence_of_the_command_itself(entry: Entry) -> None:
    text = load(entry).help or ""
    assert text.split("\n\n")[0].replace("\n", " ") == entry.help


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_each_command_explains_itself(entry: Entry, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(entry.name, "--help") == 0
    assert entry.help.split(" ", maxsplit=1)[0] in capsys.readouterr().out


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"tidegate {version('tidegate')}\n"


def test_a_typing_error_gets_a_suggestion_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("pubish") == 2
    assert "publish" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConfigurationError("no such table: run the migrations"), "no such table: run the migrations\n"),
        (TransientError("Postgres is away"), "Postgres is away. Does everything run? `tidegate status` shows it\n"),
        (PermanentError(DeadLetterReason.SCHEMA, "data is no object"), "data is no object\n"),
    ],
)
def test_an_error_that_a_person_can_mend_is_one_sentence(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    command_that(monkeypatch, fail)
    assert run("status") == 1
    assert capsys.readouterr().err == says


def test_a_sentence_is_not_read_as_markup(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ConfigurationError("topic [red]x[/] is missing [1]")

    command_that(monkeypatch, fail)
    run("status")
    assert capsys.readouterr().err == "topic [red]x[/] is missing [1]\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    command_that(monkeypatch, fail)
    with pytest.raises(ZeroDivisionError):
        main(["status"])


def test_sigterm_ends_a_command_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    unwound: list[bool] = []

    def killed() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
            raise AssertionError("the signal was not heard")
        finally:
            unwound.append(True)

    command_that(monkeypatch, killed)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run("status") == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    assert unwound == [True]


def test_ctrl_c_is_130_and_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    command_that(monkeypatch, interrupt)
    assert run("status") == 130
    assert capsys.readouterr().err == ""


def test_a_command_that_is_not_there_yet_is_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="has no `tidegate nothing`"):
        load(Entry("nothing", "", "", "services.cli.stack:app", part=True))


def test_a_package_that_is_not_installed_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> Any:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(root, "import_module", missing)
    with pytest.raises(ConfigurationError, match=r"needs the package torch.*make train-env"):
        load(next(entry for entry in COMMANDS if entry.name == "train"))


def test_a_command_beside_the_tests_says_that_it_needs_a_checkout() -> None:
    with pytest.raises(ConfigurationError, match="run it in a checkout"):
        load(Entry("bench", "", "", "tests.load.nowhere:command", in_checkout=True))
