"""The results store: a folder with one append-only file, one run per line.

What holds, also when a writer is killed or the disk fills up:

- A run whose `append` returned is on the disk: the whole line went out in one write, and was
  flushed, before `append` returned.
- At most the last line of the file is unfinished, and only a line without its newline can be: no
  `append` ever returned for it. Readers skip it, and the next `append` cuts it off. Nobody can
  still be writing it then, because writers hold an exclusive lock on the file for the whole append,
  and the system releases the lock of a process that dies.
- Nothing else is ever changed: a record is never edited, moved or removed.

The lock is advisory (`flock`): it orders the processes that use this class, on one machine or on a
file system that passes locks on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from lra_design.errors import DataError, RecordError
from lra_design.records import Run, from_json, to_json

FILE_NAME = "records.jsonl"
SCHEMA = 1
"""The schema of `Run` that this version reads and writes."""


class Store:
    """The runs in `folder`, which is made by the first `append`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def append(self, run: Run) -> bool:
        """Add a run; False when exactly this run is there already.

        Raises RecordError when the run's id is there with other content or the run is no valid
        record, DataError when it cannot be written; the store is then as it was before.
        """
        line = _encode(run)
        try:
            with _locked_for_append(self.path) as descriptor:
                finished = _read_finished(descriptor)
                if _holds(finished, run, line, self.path):
                    return False
                _write_line(descriptor, len(finished), line)
        except OSError as error:
            raise _cannot("write", self.path, error) from None
        return True

    def runs(self) -> list[Run]:
        """All runs in the order they were appended.

        Raises RecordError for a damaged line or one of a newer schema, DataError when the file
        cannot be read. A store that does not exist yet is empty.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _cannot("read", self.path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            lines = _read_finished(descriptor).splitlines()
        except OSError as error:
            raise _cannot("read", self.path, error) from None
        finally:
            os.close(descriptor)
        return [_decode(line, f"{self.path}, line {i}") for i, line in enumerate(lines, start=1)]


def _encode(run: Run) -> bytes:
    """The run's line; a run that could not be read back is refused here, not found out later."""
    try:
        text = to_json(run)
    except (TypeError, ValueError) as error:
        raise RecordError(f"the run '{run.name}' cannot be stored: {error}") from None
    from_json(Run, text)
    return text.encode("ascii") + b"\n"  # JSON escapes everything else, line breaks included


def _decode(line: bytes, where: str) -> Run:
    try:
        return from_json(Run, line)
    except RecordError as error:
        schema = _values(line).get("schema")
        if isinstance(schema, int) and schema > SCHEMA:
            raise RecordError(
                f"{where}: expected a record of schema {SCHEMA}, found {schema}: a newer version "
                "of lra-design wrote it. Update lra-design, or use another folder for the results."
            ) from None
        raise RecordError(
            f"{where}: the record is damaged or was edited: {error}. Restore the file from a copy, "
            "or move this line to another file to go on without it."
        ) from None


def _values(line: bytes) -> dict[str, Any]:
    """The line's JSON object, empty when it is none."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def _locked_for_append(path: Path) -> Iterator[int]:
    """A descriptor of the file, made when missing, under an exclusive lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_size == 0:
            _flush_folder(path.parent)  # else a power cut could lose the file's name
        yield descriptor
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_finished(descriptor: int) -> bytes:
    """The file's content up to its last newline."""
    size = os.fstat(descriptor).st_size
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        content = file.read(size)
    return content[: content.rfind(b"\n") + 1]


def _holds(finished: bytes, run: Run, line: bytes, path: Path) -> bool:
    """Whether the run is there; RecordError when its id is there with other content."""
    needle = json.dumps(run.run_id).encode()
    for there in finished.splitlines(keepends=True):
        if there == line:
            return True
        if needle in there and _values(there).get("run_id") == run.run_id:
            raise RecordError(
                f"{path} holds run {run.run_id} already, with other content in: "
                f"{', '.join(_differences(there, line))}. Records are never replaced: "
                "keep the first, or use another folder for the results."
            )
    return False


def _differences(there: bytes, line: bytes) -> list[str]:
    old, new = _values(there), _values(line)
    return [field.name for field in fields(Run) if old.get(field.name) != new[field.name]]


def _write_line(descriptor: int, size: int, line: bytes) -> None:
    """Cut off what stands after `size`, add the line and flush it; on failure take it back."""
    os.ftruncate(descriptor, size)
    try:
        written = os.write(descriptor, line)
        if written < len(line):
            raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes fit")
        os.fsync(descriptor)
    except BaseException:  # an interrupt must not leave half a line behind either
        os.ftruncate(descriptor, size)
        raise


def _cannot(verb: str, path: Path, error: OSError) -> DataError:
    return DataError(
        f"cannot {verb} {path}: {error.strerror}. Nothing was changed. Make sure that the disk has "
        "space and that the folder is yours to use, or choose another folder for the results."
    )
