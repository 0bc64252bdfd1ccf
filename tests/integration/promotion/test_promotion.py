"""Versions go in and out of service on a real Triton, under load."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from deploy.embedded import read_state
from services.errors import ConfigurationError, TidegateError
from services.training.promotion import ModelServer, ServerRefused, locked, promote, recover, roll_back
from tests.integration.promotion.conftest import Place

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dataclass
class Load:
    """What concurrent clients saw: answers by version, and errors."""

    answers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)


@contextmanager
def clients(place: Place, count: int = 4) -> Iterator[Load]:
    """So many clients ask without a pause for the time of the block."""
    load, stop = Load(), threading.Event()
    text = {"TEXT": np.array([[b"hello"]], dtype=np.object_)}

    def ask() -> None:
        client = place.client()
        while not stop.is_set():
            try:
                load.answers[client.infer(place.model.name, text, ("SCORES",)).version] += 1
            except TidegateError as error:
                load.errors.append(str(error))
        client.close()

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def version_that_answers(place: Place) -> str:
    client = place.client()
    text = {"TEXT": np.array([[b"hello"]], dtype=np.object_)}
    try:
        return client.infer(place.model.name, text, ("SCORES",)).version
    finally:
        client.close()


_KILLED = """
import os, pathlib, signal, sys
from services.training.live import triton_at
from services.training.promotion import locked, promote
from services.training.versions import ModelFolder, VersionRecord

path, name, folder, record, triton, moment = sys.argv[1:]

class Server:
    def serve(self, model, version):
        if moment == "after":
            triton_at(triton).serve(model, version)
        os.kill(os.getpid(), signal.SIGKILL)

model = ModelFolder(pathlib.Path(path), name)
with locked(model):
    promote(model, pathlib.Path(folder), VersionRecord.model_validate_json(pathlib.Path(record).read_text()), Server(), print)
"""


def silent(_sentence: str) -> None:
    """Tell nobody."""


def test_a_promotion_under_load_fails_no_request(place: Place) -> None:
    with clients(place) as load:
        assert promote(place.model, *place.served("good"), place.triton, silent) == 2
        after = Counter(load.answers)
        while load.answers["2"] < after["2"] + 50:
            threading.Event().wait(0.05)
    assert load.errors == []
    assert load.answers["1"] > 0
    assert version_that_answers(place) == "2"
    assert place.model.live() == 2
    state = read_state(place.data)
    assert state is not None
    assert not any(model.heals for model in state.models)  # a change of versions is no death of a stub


@pytest.mark.parametrize("word", ["broken", "silent"])
def test_a_broken_version_is_taken_back_under_load_and_the_old_one_goes_on(place: Place, word: str) -> None:
    with clients(place) as load, pytest.raises(ConfigurationError, match="Version 1 goes on serving") as refused:
        promote(place.model, *place.served(word), place.triton, silent)
    assert ("the graph is damaged" if word == "broken" else "no finite SCORES") in str(refused.value)
    assert load.errors == []
    assert version_that_answers(place) == "1"
    assert place.model.versions() == [1]
    assert place.model.live() == 1


def test_a_rollback_under_load_brings_the_version_before_back_and_fails_no_request(place: Place) -> None:
    promote(place.model, *place.served("good"), place.triton, silent)
    with clients(place) as load:
        assert roll_back(place.model, place.triton, silent) == (2, 1)
    assert load.errors == []
    assert version_that_answers(place) == "1"
    assert place.model.versions() == [1, 2]


def test_a_version_can_go_in_after_a_broken_one(place: Place) -> None:
    with pytest.raises(ConfigurationError):
        promote(place.model, *place.served("broken"), place.triton, silent)
    assert promote(place.model, *place.served("good"), place.triton, silent) == 2
    assert version_that_answers(place) == "2"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_promotion_killed_before_or_after_the_load_is_undone_by_the_next_command(place: Place, moment: str) -> None:
    folder, record = place.served("good")
    record_file = place.scratch / "record.json"
    record_file.write_text(record.model_dump_json())
    arguments = [str(place.model.path), place.model.name, str(folder), str(record_file), place.triton.where, moment]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert place.model.live() == 2
    assert version_that_answers(place) == ("1" if moment == "before" else "2")
    with clients(place) as load, locked(place.model):
        assert recover(place.model, place.triton, silent)
    assert load.errors == []
    assert place.model.versions() == [1]
    assert version_that_answers(place) == "1"
    with locked(place.model):
        assert promote(place.model, *place.served("good"), place.triton, silent) == 2
    assert version_that_answers(place) == "2"


def test_a_server_that_reads_another_repository_is_found_out(place: Place) -> None:
    server: ModelServer = place.triton
    with pytest.raises(ServerRefused, match="Does it read this repository"):
        server.serve(place.model.name, 7)
