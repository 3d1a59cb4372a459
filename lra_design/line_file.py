"""An append-only file of lines that survives a killed writer and a full disk.

- A line whose `append` returned is on the disk: it went out in one write, and was flushed, before
  `append` returned.
- At most the last line of the file is unfinished, and only a line without its newline can be: no
  `append` ever returned for it. Readers skip it, and the next `append` cuts it off. Nobody can
  still be writing it then, because writers hold an exclusive lock on the file for the whole append,
  and the system releases the lock of a process that dies.
- Nothing else is ever changed: a line is never edited, moved or removed.

The lock is advisory (`flock`): it orders the processes that use this class, on one machine or on a
file system that passes locks on.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lra_design.errors import DataError


class LineFile:
    """The lines of one file, which is made, with its folders, by the first `append`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def lines(self) -> list[bytes]:
        """Every finished line, without its newline; none when there is no file yet.

        Raises DataError when the file cannot be read.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._cannot("read", error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            return _read_finished(descriptor).splitlines()
        except OSError as error:
            raise self._cannot("read", error) from None
        finally:
            os.close(descriptor)

    def append(self, line: bytes, accept: Callable[[list[bytes]], bool]) -> bool:
        """Add `line` when `accept` says so of the lines that are there; whether it did.

        Raises what `accept` raises, and DataError when the file cannot be written; the file is
        then as it was.
        """
        return bool(self.extend(lambda lines: [line] if accept(lines) else []))

    def extend(self, choose: Callable[[list[bytes]], Sequence[bytes]]) -> int:
        """Add the lines that `choose` makes of those that are there, in one write; how many.

        A writer that is killed may leave the first of them behind, whole. Raises as `append` does.
        """
        try:
            with self._locked() as descriptor:
                finished = _read_finished(descriptor)
                added = choose(finished.splitlines())
                if added:
                    _write(descriptor, len(finished), b"".join(line + b"\n" for line in added))
        except OSError as error:
            raise self._cannot("write", error) from None
        return len(added)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """A descriptor of the file, made when missing, under an exclusive lock."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_size == 0:
                _flush_folder(self.path.parent)  # else a power cut could lose the file's name
            yield descriptor
        finally:
            os.close(descriptor)

    def _cannot(self, verb: str, error: OSError) -> DataError:
        return DataError(
            f"cannot {verb} {self.path}: {error.strerror}. Nothing was changed. Make sure that the "
            "disk has space and that the folder is yours to use, or choose another folder."
        )


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


def _write(descriptor: int, size: int, lines: bytes) -> None:
    """Cut off what stands after `size`, add the lines and flush them; on failure take them back."""
    os.ftruncate(descriptor, size)
    try:
        written = os.write(descriptor, lines)
        if written < len(lines):
            raise OSError(errno.ENOSPC, f"only {written} of {len(lines)} bytes fit")
        os.fsync(descriptor)
    except BaseException:  # an interrupt must not leave half a line behind either
        os.ftruncate(descriptor, size)
        raise
