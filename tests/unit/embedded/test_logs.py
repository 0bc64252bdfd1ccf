"""What a log says, in one sentence; and how large a log may get."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded import logs
from deploy.embedded.logs import explain, keep_small, tail


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "java.io.IOException: No space left on device",
            "the disk is full: free some space, it then goes on by itself",
        ),
        (
            "could not bind IPv4 address: Address already in use",
            "its port is taken by another program: run `tidegate down` and `tidegate up`, which chooses another one",
        ),
        (
            "stub: error while loading shared libraries: libfoo.so.1: cannot open shared object file",
            "the shared library libfoo.so.1 is missing: install the package that has it",
        ),
        ("Cannot allocate memory", "the machine has no memory left: stop other programs"),
        (
            "ModuleNotFoundError: No module named 'celery.app'",
            "the Python module celery.app is missing: install the project again with `make install`",
        ),
        ("a line\nthe last line\n\n", "the last line"),
        ("", "it wrote nothing to its log"),
    ],
)
def test_a_failure_becomes_one_sentence(text: str, sentence: str) -> None:
    assert explain(text) == sentence


def test_a_log_over_the_limit_is_cut_and_the_old_part_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_LIMIT_BYTES", 10)
    path = tmp_path / "kafka.log"
    path.write_text("0123456789")
    keep_small(path)
    assert path.read_text() == "0123456789"
    path.write_text("0123456789a")
    keep_small(path)
    assert path.read_text() == ""
    assert (tmp_path / "kafka.log.1").read_text() == "0123456789a"


def test_cutting_a_log_does_not_disturb_the_process_that_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LIMIT_BYTES", 10)
    path = tmp_path / "kafka.log"
    with path.open("ab", buffering=0) as written:
        written.write(b"x" * 100)
        keep_small(path)
        written.write(b"after")
    assert path.read_bytes() == b"after"


def test_the_tail_of_a_log_is_its_end_and_of_no_log_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(b"\xffend")
    assert tail(tmp_path / "a.log", 3) == "end"
    assert tail(tmp_path / "a.log") == "\N{REPLACEMENT CHARACTER}end"
    assert tail(tmp_path / "none.log") == ""
