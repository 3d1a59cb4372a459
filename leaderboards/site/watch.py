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

from leaderboards.contents import SETTINGS, WORKSPACE, Contents, is_known, read_contents
from leaderboards.site.pages import Live, Site, pages
from leaderboards.site.progress import (
    StudyView,
    TrainingView,
    is_training,
    study_views,
    training_view,
)
from leaderboards.site.rendering import render
from lra_design.errors import LraDesignError
from trainers.tuning.storage import JOURNAL as STUDIES

LOOK_SECONDS = 1.0
"""The folders are looked through at most this often, however many ask."""

File = tuple[str, int, int]
"""A file that pages are made of: its path, its size, when it was last written in nanoseconds."""


@dataclass(frozen=True)
class Look:
    """What a look through the folders found."""

    files: frozenset[File]
    """Those that pages are made of."""
    trainings: tuple[TrainingView, ...]
    """Those that have begun and not ended."""
    studies: tuple[StudyView, ...]


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
        found = look(folders)
        self._site, self._read = make(read_contents(folders)), found.files
        self._seen = _seen(self._site, found, "")
        self._looked_at = time.monotonic()

    def seen(self) -> Seen:
        """What lies there now."""
        with self._lock:
            if time.monotonic() - self._looked_at >= self._look_seconds:
                self._seen = self._look_anew()
                self._looked_at = time.monotonic()
            return self._seen

    def _look_anew(self) -> Seen:
        found = look(self._folders)
        problem = ""
        if found.files != self._read:
            try:
                self._site = self._make(read_contents(self._folders))
                self._read = found.files
            except (LraDesignError, OSError, ValueError) as error:  # half written: read next time
                problem = str(error)
        return _seen(self._site, found, problem)


def look(folders: Sequence[Path]) -> Look:
    """What lies in and below `folders`; of the files only names, sizes and times are read."""
    files: set[File] = set()
    trainings: dict[Path, TrainingView] = {}
    studies: dict[Path, tuple[StudyView, ...]] = {}
    for folder in folders:
        for parent, below, names in os.walk(folder):
            if SETTINGS in names:
                below[:] = [name for name in below if name != WORKSPACE]
            made_of = (Path(parent, name) for name in names if is_known(name) or name == SETTINGS)
            files |= {found for path in made_of if (found := _file(path))}
            if is_training(below, names) and (view := training_view(Path(parent))):
                trainings[Path(parent).resolve()] = view
            if STUDIES in names:
                studies[Path(parent).resolve()] = study_views(Path(parent))
    return Look(
        frozenset(files),
        tuple(trainings[path] for path in sorted(trainings)),
        tuple(study for path in sorted(studies) for study in studies[path]),
    )


def _file(path: Path) -> File | None:
    try:
        found = path.stat()
    except OSError:  # it has just gone
        return None
    return str(path), found.st_size, found.st_mtime_ns


def _seen(site: Site, found: Look, problem: str) -> Seen:
    attempts = _count(sum(len(view.attempts) for view in site.searches), "attempt")
    running = sum(not training.is_quiet(datetime.now(UTC)) for training in found.trainings)
    line = f"Live: {attempts}, {_count(running, 'training')} running."
    line += " What changed last could not be read: see Progress." if problem else ""
    records = Live("records", _version(sorted(found.files), problem), line)
    progress = Live("progress", _version(records.version, found.trainings, found.studies), line)
    page = partial(_progress, replace(site, live=progress), found, problem)
    shown = pages(replace(site, live=records)) | {"progress.html": page}
    return Seen(records, progress, shown)


def _progress(site: Site, found: Look, problem: str) -> str:
    return render(
        "progress.html.j2",
        site=site,
        found=found,
        problem=problem,
        now=datetime.now(UTC),
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _version(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
