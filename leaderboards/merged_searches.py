"""Journals of several machines side by side, each once, under names of their own."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from leaderboards.contents import JOURNAL, SETTINGS
from lra_design.errors import DataError
from lra_design.files import write_atomically

FOLDER = "searches"
HASH_DIGITS = 16
DRAFT = ".journal.draft"
"""No name that a reader looks for."""
_ROWS = {
    "attempts": "select record from attempts order by attempt",
    "exchanges": "select attempt || ' ' || request || ' ' || record from exchanges "
    "order by exchange",
}


@dataclass(frozen=True)
class _Search:
    """One journal, by what it says."""

    name: str
    journal: Path
    settings: bytes
    rows: tuple[tuple[str, ...], ...]
    """Hashes of its attempts, and of its exchanges with an llm, in their order."""

    @property
    def folder(self) -> str:
        """`NAME-HASH`, equal for equal content under one name."""
        parts = [self.settings, *(" ".join(hashes).encode() for hashes in self.rows)]
        digest = _hash(b"\n".join(_hash(part).encode() for part in parts))
        return f"{self.name}-{digest[:HASH_DIGITS]}"

    def continues(self, other: _Search) -> bool:
        """Whether it holds all that `other` holds, and perhaps more."""
        return self.settings == other.settings and all(
            mine[: len(theirs)] == theirs
            for mine, theirs in zip(self.rows, other.rows, strict=True)
        )


def merge_searches(journals: Iterable[Path], out: Path) -> int:
    """Copy what `journals` hold, those of `out` among them, into `out`; how many are new there.

    Raises DataError when one cannot be copied.
    """
    home = (out / FOLDER).resolve()
    found = [_read(journal, _name(journal.parent)) for journal in journals]
    kept = {search.folder: search for search in _not_continued(found)}
    folders = (search.journal.resolve().parent for search in found)
    there = {folder.name: folder for folder in folders if folder.parent == home}
    new = [search for folder, search in kept.items() if folder not in there]
    for search in new:
        _copy(search, out / FOLDER)
    for name in there.keys() - kept.keys():  # all that it holds is in one of those
        shutil.rmtree(there[name], ignore_errors=True)
    return len(new)


def _not_continued(found: Sequence[_Search]) -> list[_Search]:
    """Those that no other goes on from; of equal ones the first by name, then any."""
    kept: list[_Search] = []
    for search in sorted(found, key=lambda one: (-sum(map(len, one.rows)), one.name)):
        if not any(longer.continues(search) for longer in kept):
            kept.append(search)
    return kept


def _name(folder: Path) -> str:
    """Of the search, without the hash that a merge put behind it."""
    if folder.parent.name != FOLDER:
        return folder.name
    return re.sub(rf"-[0-9a-f]{{{HASH_DIGITS}}}$", "", folder.name)


def _read(journal: Path, name: str) -> _Search:
    settings = journal.with_name(SETTINGS)
    with _faults(journal), _connected(journal) as connection:
        rows = tuple(_hashes(connection, table) for table in _ROWS)
    return _Search(name, journal, settings.read_bytes() if settings.exists() else b"", rows)


def _hashes(connection: sqlite3.Connection, table: str) -> tuple[str, ...]:
    return tuple(_hash(text.encode()) for (text,) in connection.execute(_ROWS[table]))


def _copy(search: _Search, folder: Path) -> None:
    """A copy that appears whole; SQLite's own, which takes a journal in use as it is at once."""
    draft = folder / DRAFT
    with _faults(search.journal):
        folder.mkdir(parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        with _connected(search.journal) as source, closing(sqlite3.connect(draft)) as target:
            source.backup(target)
    copied = _read(draft, search.name)  # it may have grown since
    target_folder = folder / _Search(search.name, draft, search.settings, copied.rows).folder
    if search.settings:
        write_atomically(target_folder / SETTINGS, search.settings)
    with _faults(search.journal):
        target_folder.mkdir(exist_ok=True)
        draft.replace(target_folder / JOURNAL)


@contextmanager
def _connected(journal: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{journal.resolve().as_uri()}?mode=rw"  # a reader rolls back what was left half done
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        yield connection


@contextmanager
def _faults(journal: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise DataError(
            f"cannot copy the journal {journal}: {error}. Free some space, or name another folder."
        ) from None


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
