"""What a promotion does to the files, when all goes well and when it does not."""

from __future__ import annotations

import errno
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from services.errors import ConfigurationError
from services.training import promotion
from services.training.promotion import locked, promote, recover, roll_back
from services.training.versions import ModelFolder
from tests.unit.training.model_folders import FakeServer, export, make_model

_ROOT = Path(__file__).resolve().parents[3]


def silent(_sentence: str) -> None:
    """Tell nobody."""


def files(model: ModelFolder) -> set[str]:
    return {str(path.relative_to(model.path)) for path in model.path.rglob("*") if path.is_file()}


def test_the_new_version_has_the_exported_files_the_old_code_and_a_record(tmp_path: Path) -> None:
    model, server = make_model(tmp_path / "repository", {1: None}), FakeServer()
    assert promote(model, *export(tmp_path / "served"), server, silent) == 2
    assert {path.name for path in model.version_path(2).iterdir()} == {"weights", "model.py", "version.json"}
    assert (model.version_path(2) / "weights").read_text() == "new weights"
    assert model.live() == 2
    assert server.served == [2]
    assert model.config.startswith("# kept\n")


def test_a_refused_version_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    model, server = make_model(tmp_path / "repository", {1: None}, live=1), FakeServer(refused=frozenset({2}))
    before = files(model)
    with pytest.raises(ConfigurationError, match=r"version 2 did not go live: no\. Version 1 goes on serving"):
        promote(model, *export(tmp_path / "served"), server, silent)
    assert files(model) == before
    assert model.live() == 1
    assert server.served == [1]


def test_offline_only_the_files_change(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None})
    assert promote(model, *export(tmp_path / "served"), None, silent) == 2
    assert model.live() == 2


def test_a_rolled_back_number_is_not_used_again(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None})
    promote(model, *export(tmp_path / "served"), None, silent)
    assert roll_back(model, None, silent) == (2, 1)
    assert promote(model, *export(tmp_path / "served"), None, silent) == 3


def test_a_rollback_notes_in_the_version_left_that_it_was_withdrawn(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None, 2: 1}, live=2)
    roll_back(model, None, silent)
    record = model.record(2)
    assert record is not None
    assert record.promotion is not None
    assert record.promotion.withdrawn is not None


def test_without_a_version_before_a_rollback_changes_nothing(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None}, live=1)
    before = files(model)
    with pytest.raises(ConfigurationError, match="no version before 1"):
        roll_back(model, None, silent)
    assert files(model) == before


def test_a_rollback_that_triton_refuses_leaves_the_live_version_live(tmp_path: Path) -> None:
    model, server = make_model(tmp_path / "repository", {1: None, 2: 1}, live=2), FakeServer(refused=frozenset({1}))
    with pytest.raises(ConfigurationError, match="Version 2 goes on serving"):
        roll_back(model, server, silent)
    assert (model.live(), model.versions()) == (2, [1, 2])


def test_without_any_version_a_promotion_says_where_to_begin(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {})
    with pytest.raises(ConfigurationError, match="has no version yet"):
        promote(model, *export(tmp_path / "served"), None, silent)


def test_five_versions_stay_and_the_live_one_and_the_one_before_are_among_them(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None, 2: 1, 3: 2, 4: 3, 5: 4}, live=1)
    said: list[str] = []
    assert promote(model, *export(tmp_path / "served"), None, said.append) == 6
    assert model.versions() == [1, 3, 4, 5, 6]
    assert said == ["version 2 is removed: 5 versions stay on disk"]


def test_a_file_that_changed_after_the_export_is_not_promoted(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None}, live=1)
    served, record = export(tmp_path / "served")
    (served / "weights").write_text("other weight")
    before = files(model)
    with pytest.raises(ConfigurationError, match="weights changed"):
        promote(model, served, record, None, silent)
    assert files(model) == before


def test_a_full_disk_while_copying_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path / "repository", {1: None}, live=1)
    before = files(model)

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(ConfigurationError, match=r"the disk is full\); version 1 is live as before"):
        promote(model, *export(tmp_path / "served"), None, silent)
    assert files(model) == before
    assert model.live() == 1


def test_two_promotions_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None})
    with locked(model), pytest.raises(ConfigurationError, match="another promotion of toy is under way"), locked(model):
        pass
    with locked(model):
        pass


_KILLED = """
import os, pathlib, signal, sys
from services.training import promotion
from tests.unit.training.model_folders import export

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Server:
    serve = die

repository, served, moment = sys.argv[1:]
model = promotion.ModelFolder.of(pathlib.Path(repository), "toy")
if moment == "copying":
    promotion.write_record = die
elif moment == "renamed":
    promotion._go_live = die
elif moment == "undoing":
    promotion._remove = lambda path: die() if path.name == "2" else None
    Server.serve = lambda *_: (_ for _ in ()).throw(promotion.ServerRefused("no"))
with promotion.locked(model):
    promotion.promote(model, *export(pathlib.Path(served)), Server(), print)
"""


@pytest.mark.parametrize("moment", ["copying", "renamed", "loading", "undoing"])
def test_a_promotion_killed_at_any_moment_is_undone_by_the_next_command(tmp_path: Path, moment: str) -> None:
    model = make_model(tmp_path / "repository", {1: None})
    arguments = [str(tmp_path / "repository"), str(tmp_path / "served"), moment]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, timeout=60, cwd=_ROOT)
    assert killed.returncode == -signal.SIGKILL
    server, said = FakeServer(), list[str]()
    with locked(model):  # the lock died with its holder
        assert recover(model, server, said.append) == (None if moment == "copying" else "promotion")
        assert model.live() == 1
        assert files(model) == {"config.pbtxt", "1/model.py", "1/weights", "1/version.json"}
        assert promote(model, *export(tmp_path / "served"), server, silent) == 2
    assert model.live() == 2
    assert server.served == ([2] if moment == "copying" else [1, 2])


def test_an_interrupted_promotion_brings_the_old_version_back(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None}, live=1)
    before = files(model)

    class Interrupted:
        def serve(self, _model: str, version: int) -> None:
            if version == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        promote(model, *export(tmp_path / "served"), Interrupted(), silent)
    assert files(model) == before
    assert model.live() == 1


def test_a_config_that_cannot_be_written_back_on_a_full_disk_gets_the_room_of_the_new_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "repository", {1: None}, live=1)
    write, version = ModelFolder.choose, model.version_path(2)

    def choose(self: ModelFolder, number: int) -> None:
        if number == 1 and version.exists() and (version / "weights").exists() and self.live() == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, number)

    monkeypatch.setattr(ModelFolder, "choose", choose)
    with pytest.raises(ConfigurationError, match="Version 1 goes on serving"):
        promote(model, *export(tmp_path / "served"), FakeServer(refused=frozenset({2})), silent)
    assert (model.live(), model.versions()) == (1, [1])


def test_a_rollback_on_a_full_disk_says_so_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path / "repository", {1: None, 2: None}, live=2)
    before = files(model)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(promotion, "write_atomically", full)
    with pytest.raises(ConfigurationError, match=r"the disk is full.*version 2 is live as before"):
        roll_back(model, FakeServer(), silent)
    assert (model.live(), files(model)) == (2, before)


def test_a_config_that_a_full_disk_keeps_from_changing_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "repository", {1: None, 2: None}, live=2)

    def choose(_self: ModelFolder, _number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ModelFolder, "choose", choose)
    with pytest.raises(ConfigurationError, match="Version 2 goes on serving"):
        roll_back(model, FakeServer(), silent)
    assert model.live() == 2


def test_a_rollback_whose_mark_cannot_be_written_is_one_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, said = make_model(tmp_path / "repository", {1: None, 2: None}, live=2), list[str]()

    def withdraw(_self: ModelFolder, _version: int, _at: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ModelFolder, "withdraw", withdraw)
    assert roll_back(model, FakeServer(), said.append) == (2, 1)
    assert "version 2 could not be marked as withdrawn (the disk is full)" in said[-1]


def test_a_config_that_names_a_version_which_was_removed_is_mended_from_the_note(tmp_path: Path) -> None:
    model = make_model(tmp_path / "repository", {1: None, 2: None}, live=2)
    (model.path / ".promotion.json").write_text('{"previous": 1, "incoming": 2}')
    shutil.rmtree(model.version_path(2))
    assert recover(model, None, silent) == "promotion"
    assert model.live() == 1
