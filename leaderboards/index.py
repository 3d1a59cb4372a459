"""An index of a folder: what its records say, in one SQLite file that is read fast.

The records in and below the folder are the truth; `index.sqlite` is made from them, and deleting it
loses nothing. `board rebuild` makes it; from then on it is brought up to date whenever it is read,
in one transaction: only files that changed are read, and only their new records are decoded. Where
there is none, the same index is made in memory.

It is in WAL mode: any number may read while one writes, and a writer that is killed leaves it as it
was. That needs a local disk; on a network file system, do without an index.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from leaderboards.columns import ATTEMPTS, FINDINGS
from leaderboards.contents import (
    JOURNAL,
    KNOWN,
    RUNS,
    Contents,
    find_files,
    first_of_each,
    read_bundles,
)
from leaderboards.dossiers import FILE_NAME as DOSSIERS
from leaderboards.dossiers import Dossier, by_subject
from leaderboards.index_file import FILE_NAME, connect, connect_in_memory, faults, make, transaction
from leaderboards.index_sources import Records, Values, decoded, read_records
from lra_design.records import Run, from_json

SETTLED_SECONDS = 2
"""A file that was changed less than this ago may change again and show the same time."""


class Index:
    """What is in and below `folder`; in memory where there is no `index.sqlite`.

    Its methods raise RecordError for a damaged file or index, DataError for one that cannot be
    read or written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FILE_NAME
        usable = (
            self.path.is_file() and os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)
        )
        with faults(self.path):
            self._connection = connect(self.path) if usable else connect_in_memory()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def refresh(self, names: Collection[str] = KNOWN) -> int:
        """Read what is new in the files of these names; how many files changed."""
        with faults(self.path), transaction(self._connection):
            return self._refresh(names)

    def rebuild(self) -> int:
        """Forget everything and read all files; how many there are."""
        with faults(self.path), transaction(self._connection):
            for path in self._known(KNOWN):
                self._forget(path)
            return self._refresh(KNOWN)

    def runs(self) -> Iterator[Run]:
        """Every run, repeats among them, those of `records.jsonl` first."""
        self.refresh(RUNS)
        for text in self._records("runs"):
            yield from_json(Run, text)

    def dossiers(self) -> Iterator[Dossier]:
        """Every dossier."""
        self.refresh([DOSSIERS])
        for text in self._records("dossiers"):
            yield from_json(Dossier, text)

    def attempts(self) -> list[Values]:
        """Rows of `columns.ATTEMPTS`, search by search."""
        return self._rows("attempts", ATTEMPTS)

    def findings(self) -> list[Values]:
        """Rows of `columns.FINDINGS`, search by search."""
        return self._rows("findings", FINDINGS)

    def _records(self, table: str) -> list[str]:
        with faults(self.path):
            rows = self._connection.execute(f"select record from {table} order by path, number")
            return [record for (record,) in rows]

    def _rows(self, table: str, columns: Iterable[str]) -> list[Values]:
        self.refresh([JOURNAL])
        names = ", ".join(f'"{column}"' for column in columns)
        query = f"select {names} from {table} order by path, number, rowid"
        with faults(self.path):
            return self._connection.execute(query).fetchall()

    def _refresh(self, names: Collection[str]) -> int:
        files = {_text(file.relative_to(self.folder)): file for file in find_files([self.folder])}
        present = {path: file for path, file in files.items() if file.name in names}
        gone = self._known(names) - present.keys()
        for path in gone:
            self._forget(path)
        return len(gone) + sum(self._read(path, file) for path, file in present.items())

    def _known(self, names: Collection[str]) -> set[str]:
        paths = {path for (path,) in self._connection.execute("select path from files")}
        return {path for path in paths if Path(path).name in names}

    def _forget(self, path: str) -> None:
        for table in ("files", "runs", "dossiers", "attempts", "findings"):
            self._connection.execute(f"delete from {table} where path = ?", (path,))

    def _read(self, path: str, file: Path) -> bool:
        """Take over what a file says that is not known; whether there may be anything."""
        asked = "select size, changed, num_records, digest from files where path = ?"
        known = self._connection.execute(asked, (path,)).fetchone()
        try:
            size, changed = _state(file)
        except FileNotFoundError:  # it has just been moved: the next refresh forgets it
            return False
        if known and changed is not None and (size, changed) == known[:2]:
            return False
        records = read_records(file)
        start = known[2] if known and _digest(records, known[2]) == known[3] else 0
        if known and not start:
            self._forget(path)
        for table, number, values in decoded(file, self._search(path), records.lines, start):
            marks = ", ".join("?" * (2 + len(values)))
            self._connection.execute(
                f"insert into {table} values ({marks})", (path, number, *values)
            )
        length = len(records.lines)
        self._connection.execute(
            "insert or replace into files values (?, ?, ?, ?, ?)",
            (path, size, changed, length, _digest(records, length)),
        )
        return True

    def _search(self, path: str) -> str:
        """`runs/demo`: the folder of a journal, from the folder of the index on."""
        return _text(Path(_text(Path(self.folder.resolve().name)), path).parent)


@contextmanager
def open_index(folder: Path) -> Iterator[Index]:
    """The index of `folder`, closed when the block ends."""
    index = Index(folder)
    try:
        yield index
    finally:
        index.close()


def rebuild(folder: Path) -> tuple[int, Path]:
    """Make the index of `folder` anew; how many files it was made from, and where it is.

    A damaged one is thrown away, and so is none that somebody else made: RecordError.
    """
    path = folder / FILE_NAME
    with faults(path):
        make(path)
    with open_index(folder) as index:
        return index.rebuild(), path


def read_runs_and_dossiers(folders: Sequence[Path]) -> Contents:
    """What is in and below `folders` but the searches, by their indexes; bundles as they are."""
    bundles = read_bundles(find_files(folders))
    runs = [run for bundle in bundles for run in bundle.runs]
    dossiers = [bundle.dossier for bundle in bundles]
    for folder in folders:
        with open_index(folder) as index:
            runs.extend(index.runs())
            dossiers.extend(index.dossiers())
    first, repeats = first_of_each(runs)
    return Contents(first, repeats, by_subject(dossiers), searches=())


def _text(path: Path) -> str:
    """A path as text, whatever bytes its names are."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _state(file: Path) -> tuple[int, int | None]:
    """Size, and when it was changed in nanoseconds; None where that may not tell a later change."""
    status = file.stat()
    age = time.time_ns() - status.st_mtime_ns
    return status.st_size, status.st_mtime_ns if age > SETTLED_SECONDS * 1_000_000_000 else None


def _digest(records: Records, number: int) -> str | None:
    """SHA-256 of the head and the first records; None where there are not so many."""
    if len(records.lines) < number:
        return None
    digest = hashlib.sha256(records.head)
    for line in records.lines[:number]:
        digest.update(b"\n" + line)
    return digest.hexdigest()
