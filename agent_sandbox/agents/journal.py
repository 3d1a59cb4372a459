"""The memory of a search: every attempt, one line of JSON each, only ever added to.

A line counts once its newline is on the disk. A process that dies while writing leaves an
unfinished last line; it is not read, and the next `append` cuts it off.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from lra_design.errors import DataError, RecordError
from lra_design.records import Attempt, from_json, to_json


class Journal:
    """The attempts of one search in one file. The file is made by the first `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attempts(self) -> list[Attempt]:
        """Every finished attempt, oldest first; none when there is no file yet.

        Raises RecordError naming the damaged line, DataError when the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(
                f"cannot read the journal {self.path}: {error.strerror}. "
                f"Make it readable or choose another journal."
            ) from None
        lines = _finished(content).splitlines()
        return [self._attempt(line, index) for index, line in enumerate(lines)]

    def append(self, attempt: Attempt) -> None:
        """Add `attempt` and wait until it is on the disk.

        Raises DataError when it cannot be written, and then the file is as it was, or ends in an
        unfinished line. Raises RecordError when it is not the next attempt of this journal.
        """
        line = to_json(attempt).encode() + b"\n"
        is_new = not self.path.exists()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                self._append(file, attempt.index, line)
            if is_new:
                _sync_folder(self.path.parent)
        except OSError as error:
            raise DataError(
                f"cannot write attempt {attempt.index} to the journal {self.path}: "
                f"{error.strerror}. Free some space or make the file writable, then start the "
                f"same search again: it goes on after the last attempt written."
            ) from None

    def _append(self, file: BinaryIO, index: int, line: bytes) -> None:
        file.seek(0)
        finished = _finished(file.read())
        num_attempts = finished.count(b"\n")
        if num_attempts != index:
            raise RecordError(
                f"expected attempt {num_attempts} next in {self.path}, found attempt {index}. "
                f"Another search writes this journal: stop one of them."
            )
        file.truncate(len(finished))
        written = file.write(line)
        if written != len(line):
            file.truncate(len(finished))
            raise OSError(0, f"{written} of {len(line)} bytes were written")
        os.fsync(file.fileno())

    def _attempt(self, line: bytes, index: int) -> Attempt:
        try:
            attempt = from_json(Attempt, line)
        except RecordError as error:
            raise RecordError(
                f"line {index + 1} of {self.path} is damaged: {error}. "
                f"Restore the file from a copy, or delete this line and all after it."
            ) from None
        if attempt.index != index:
            raise RecordError(
                f"line {index + 1} of {self.path}: expected attempt {index}, found attempt "
                f"{attempt.index}. Restore the file from a copy, or delete this line and all after."
            )
        return attempt


def _finished(content: bytes) -> bytes:
    """The part of `content` up to its last newline."""
    return content[: content.rfind(b"\n") + 1]


def _sync_folder(folder: Path) -> None:
    """Make the file's name durable too, not only its content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
