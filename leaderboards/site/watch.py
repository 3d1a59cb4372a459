"""The site of folders that are being written to: looked at when asked, read when they changed."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from leaderboards.contents import KNOWN, SETTINGS, WORKSPACE, Contents, read_contents
from leaderboards.site.pages import Live, Site, pages
from leaderboards.site.progress import TrainingView, is_training, training_view
from leaderboards.site.rendering import render
from lra_design.errors import LraDesignError

LOOK_SECONDS = 1.0
"""The folders are looked through at most this often, however many ask."""

File = tuple[str, int, int]
"""A file that pages are made of: its path, its size, when it was last written in nanoseconds."""
WATCHED = (*KNOWN, SETTINGS)


@dataclass(frozen=True)
class Seen:
    """What lies in the folders at one moment."""

    records: Live
    """Of the pages that are made of records; of the last moment at which all could be read."""
    progress: Live
    """Of the page of progress."""
    pages: Mapping[str, Callable[[], str]]
    """As `leaderboards.site.pages`, and `progress.html`."""


class Watch:
    """Folders and the site made of them. May be asked from several threads at once."""

    def __init__(
        self,
        folders: Sequence[Path],
        make: Callable[[Contents], Site],
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        """Reads the folders. Raises what `read_contents` and `make` raise."""
        self._folders = folders
        self._make = make
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        files, trainings = look(folders)
        self._site, self._read = make(read_contents(folders)), files
        self._seen = _seen(self._site, files, trainings, "")
        self._looked_at = time.monotonic()

    def seen(self) -> Seen:
        """What lies there now."""
        with self._lock:
            if time.monotonic() - self._looked_at >= self._look_seconds:
                self._seen = self._look_anew()
                self._looked_at = time.monotonic()
            return self._seen

    def _look_anew(self) -> Seen:
        files, trainings = look(self._folders)
        problem = ""
        if files != self._read:
            try:
                self._site, self._read = self._make(read_contents(self._folders)), files
            except (LraDesignError, OSError, ValueError) as error:  # half written: read next time
                problem = str(error)
        return _seen(self._site, files, trainings, problem)


def look(folders: Sequence[Path]) -> tuple[frozenset[File], tuple[TrainingView, ...]]:
    """The files in and below `folders` that pages are made of, and the trainings that have begun.

    Only the names, sizes and times of the files are read.
    """
    files: set[File] = set()
    trainings: dict[Path, TrainingView] = {}
    for folder in folders:
        for parent, below, names in os.walk(folder):
            if SETTINGS in names:
                below[:] = [name for name in below if name != WORKSPACE]
            files |= set(filter(None, (_file(Path(parent, n)) for n in names if n in WATCHED)))
            if is_training(names) and (view := training_view(Path(parent))):
                trainings[Path(parent).resolve()] = view
    return frozenset(files), tuple(trainings[path] for path in sorted(trainings))


def _file(path: Path) -> File | None:
    try:
        found = path.stat()
    except OSError:  # it has just gone
        return None
    return str(path), found.st_size, found.st_mtime_ns


def _seen(
    site: Site, files: frozenset[File], trainings: tuple[TrainingView, ...], problem: str
) -> Seen:
    num_attempts = sum(len(view.attempts) for view in site.searches)
    line = f"Live: {_count(num_attempts, 'attempt')}, {_count(len(trainings), 'training')} begun."
    line += " What changed last could not be read: see Progress." if problem else ""
    records = Live("records", _version(sorted(files), problem), line)
    progress = Live("progress", _version(records.version, trainings), line)
    page = partial(_progress, replace(site, live=progress), trainings, problem)
    found = pages(replace(site, live=records)) | {"progress.html": page}
    return Seen(records, progress, found)


def _progress(site: Site, trainings: Sequence[TrainingView], problem: str) -> str:
    return render(
        "progress.html.j2",
        site=site,
        trainings=trainings,
        problem=problem,
        now=datetime.now(UTC),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _version(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
