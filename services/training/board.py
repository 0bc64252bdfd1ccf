"""Curves of a run for TensorBoard, which are worth having and not worth losing a run for.

Promises: nothing that happens to the file (a full disk, a folder that is away) ends training; it is said once, and the rest of the
curves is missing. Written with TensorBoard's own records and without its writer, whose thread would raise what it met at some later
call.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

__all__ = ["Board"]


class Board:
    """`with Board(folder) as board: board.add(step, {"train/loss": 0.3})`. One file a process; TensorBoard puts them together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: BufferedWriter | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time():010.0f}.{socket.gethostname()}.{os.getpid()}"
            self._file = (folder / name).open("ab")
            self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        except OSError as error:
            self._give_up(error)

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """Points of this step, one a curve."""
        if self._file is None:
            return
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        try:
            self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        except OSError as error:
            self._give_up(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _write(self, event: Any) -> None:
        RecordWriter(self._file).write(event.SerializeToString())
        if self._file is not None:
            self._file.flush()

    def _give_up(self, error: OSError) -> None:
        self._close()
        Console(stderr=True).print(
            f"TensorBoard's file in {self._folder} could not be written ({error.strerror or error}: is the disk full?). Training goes "
            f"on without its curves.", style="yellow"
        )  # fmt: skip

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written before cannot be written now
                self._file.close()
            self._file = None
