"""Stores of several machines into one: nothing is lost, and the order does not matter.

OUT/records.jsonl    each training, the first that came
    repeated.jsonl   the same trainings with other results
    dossiers.jsonl
    searches/        a folder for each search, with its journal.sqlite and design.json

Merging the same again adds nothing. Of two journals of which one goes on where the other ends, that
one is kept; two that went on differently from a common start are both.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from leaderboards import dossiers
from leaderboards.contents import find_files, read_bundles, read_contents
from leaderboards.dossiers import Dossier, DossierFile
from leaderboards.merged_searches import merge_searches
from leaderboards.store import Store
from lra_design.errors import DataError, UsageError


@dataclass(frozen=True)
class Merged:
    """How many were added; what was there already does not count."""

    runs: int
    dossiers: int
    searches: int


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Put what is in and below `folders` together in `out`, beside what is there.

    Everything is read before anything is written. Raises UsageError for a folder that is none, or
    that holds `out` or lies in it, RecordError for a damaged file, DataError when something cannot
    be read or written.
    """
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing:
        raise UsageError(f"expected folders to merge, '{missing[0]}' is none: name some that exist")
    _require_apart(folders, out)
    with _alone_in(out):
        found = read_contents([*folders, out])
        known = _all_dossiers([*folders, out])
        return Merged(
            runs=Store(out).merge([*found.runs, *found.repeats]),
            dossiers=DossierFile(out).merge(known),
            searches=merge_searches([search.journal for search in found.searches], out),
        )


def _require_apart(folders: Sequence[Path], out: Path) -> None:
    """Whoever read both would find what was merged twice."""
    whole = out.resolve()
    for folder in folders:
        part = folder.resolve()
        if part != whole and (part.is_relative_to(whole) or whole.is_relative_to(part)):
            raise UsageError(
                f"expected a folder to merge into that is apart from what is merged, found {out} "
                f"and {folder}, of which one holds the other. Name another one with -o."
            )


def _all_dossiers(folders: Sequence[Path]) -> list[Dossier]:
    files = find_files(folders)
    lines = [file for file in files if file.name == dossiers.FILE_NAME]
    found = [dossier for file in lines for dossier in DossierFile(file.parent).dossiers()]
    return [*found, *(bundle.dossier for bundle in read_bundles(files))]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One merge at a time; the lock of one that dies is released."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise DataError(
            f"cannot merge into {folder}: {error.strerror}. Name a folder that you may write to."
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
