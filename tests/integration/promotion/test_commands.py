"""`tidegate promote` and `explain` against a stack that runs: they find its Triton by the data folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from deploy.embedded import read_state
from services.errors import ConfigurationError
from services.serving import MODEL_FILES
from services.training import acceptance
from services.training.commands import app
from services.training.footprint import Footprint
from services.training.live import triton_at
from services.training.versions import ModelFolder, VersionRecord, fingerprint, write_record
from tests.integration.promotion.conftest import ECHO

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

_PARAMETER = 'parameters { key: "labels" value { string_value: "one,two,three" } }\n'


@pytest.fixture(scope="module")
def model(triton: tuple[Path, Path, str]) -> ModelFolder:
    """The echo model under the name of the one model that the commands know."""
    data, repository, _ = triton
    folder = repository / "review"
    shutil.copytree(ECHO, folder)
    config = folder / "config.pbtxt"
    config.write_text(config.read_text().replace('"echo"', '"review"') + _PARAMETER)
    state = read_state(data)
    assert state is not None
    assert state.endpoints.triton.http is not None
    triton_at(state.endpoints.triton.http).serve("review", 1)
    return ModelFolder.of(repository, "review")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with an exported version. The echo model has no engine to measure."""
    monkeypatch.setattr(acceptance, "measure", lambda folders: [Footprint(100, 500) for _ in folders])
    served = tmp_path / "served"
    served.mkdir()
    for name in MODEL_FILES:
        (served / name).write_text(name)
    (served / "labels.json").write_text(json.dumps({"labels": ["one", "two", "three"]}))
    write_record(served, VersionRecord(model="review", files={n: fingerprint(served / n) for n in MODEL_FILES}))
    return tmp_path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_version_goes_live_answers_explain_and_goes_back(
    triton: tuple[Path, Path, str], model: ModelFolder, run: Path
) -> None:
    data, repository, _ = triton
    where = ("--repository", repository, "--data", data)
    promoted = call("promote", "review", *where, "--run", run, "--force", "the echo model has no figures")
    assert "version 2 is live;" in promoted.output
    assert promoted.exit_code == 0
    assert "review, version 2, by Triton" in call("explain", "review", "hello", *where).output
    back = call("promote", "review", *where, "--rollback")
    assert "version 1 is live; version 2 stays on disk" in back.output
    assert "review, version 1, by Triton" in call("explain", "review", "hello", *where).output


def test_a_repository_that_the_stack_does_not_serve_is_refused(
    triton: tuple[Path, Path, str], model: ModelFolder, run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(model.path, other / "review")
    refused = call("promote", "review", "--repository", other, "--data", triton[0], "--run", run)
    assert isinstance(refused.exception, ConfigurationError)
    assert "give --repository the folder that it serves" in str(refused.exception)


def test_a_triton_that_is_away_leaves_the_files_as_they_were(model: ModelFolder, run: Path, unused_port: int) -> None:
    before = (model.versions(), model.live())
    where = ("--repository", model.path.parent, "--triton-http", f"127.0.0.1:{unused_port}")
    refused = call("promote", "review", *where, "--run", run, "--force", "to see what happens")
    assert isinstance(refused.exception, ConfigurationError)
    assert "does not answer" in str(refused.exception)
    assert (model.versions(), model.live()) == before


def test_explain_reads_standard_input(triton: tuple[Path, Path, str], model: ModelFolder) -> None:
    arguments = ["explain", "review", "-", "--data", str(triton[0])]
    explained = CliRunner().invoke(app, arguments, input="你好")
    assert "by Triton" in explained.output
    refused = CliRunner().invoke(app, arguments, input=b"\xff\xfe")
    assert "the text is not UTF-8" in str(refused.exception)
