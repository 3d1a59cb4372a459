"""What a leaderboard is made of: runs, dossiers and searches, found in folders.

FOLDER/records.jsonl     runs that were scored (`leaderboards.store`)
       repeated.jsonl    the same trainings with other results, where stores were merged
       dossiers.jsonl    what is known of their mechanisms (`leaderboards.dossiers`)
FOLDER/design.json       a design run: what was asked, its journal and its board
       journal.sqlite
       board/records.jsonl
FOLDER/*.lra.zip         entries that were handed in, as claimed (`leaderboards.bundles`)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_sandbox.agents.journal import Journal
from leaderboards import dossiers, store
from leaderboards.bundles.layout import SUFFIX, Bundle
from leaderboards.bundles.reading import read_bundle
from leaderboards.dossiers import DossierFile, Dossiers, by_subject
from leaderboards.store import read_runs
from lra_design.errors import RecordError
from lra_design.records import Attempt, Run, to_json

JOURNAL = "journal.sqlite"
SETTINGS = "design.json"
WORKSPACE = "workspace"
"""Where a program of somebody else writes, in a design run: nothing below it is read."""
RUNS = (store.FILE_NAME, store.REPEATED)
KNOWN = (*RUNS, dossiers.FILE_NAME, JOURNAL)


@dataclass(frozen=True)
class Search:
    """What one agent tried, in one design run."""

    name: str
    """Of its folder."""
    journal: Path
    settings: Mapping[str, Any]
    """What the run was asked to do, as `design.json` says it; empty where there is none."""
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Contents:
    """All that a leaderboard shows."""

    runs: tuple[Run, ...]
    """Each training once, oldest first."""
    repeats: tuple[Run, ...]
    """Trainings that were done again: they count for nothing, and show how far results agree."""
    dossiers: Dossiers
    searches: tuple[Search, ...]


def read_contents(folders: Sequence[Path]) -> Contents:
    """Everything in and below `folders`, links not followed.

    Raises RecordError for a damaged file or a bundle that is refused, DataError for one that cannot
    be read.
    """
    files = find_files(folders)
    named = {name: [file for file in files if file.name == name] for name in KNOWN}
    bundles = read_bundles(files)
    stored = (run for name in RUNS for file in named[name] for run in read_runs(file))
    runs, repeats = first_of_each([*stored, *(run for bundle in bundles for run in bundle.runs)])
    known = (
        one for file in named[dossiers.FILE_NAME] for one in DossierFile(file.parent).dossiers()
    )
    return Contents(
        runs=runs,
        repeats=repeats,
        dossiers=by_subject([*known, *(bundle.dossier for bundle in bundles)]),
        searches=tuple(_search(file) for file in named[JOURNAL]),
    )


def read_bundles(files: Iterable[Path]) -> list[Bundle]:
    """The bundles among `files`. Raises RecordError for one that is refused."""
    return [read_bundle(file) for file in files if file.name.endswith(SUFFIX)]


def find_files(folders: Iterable[Path]) -> list[Path]:
    """The files in and below `folders` that say anything, each once, in the order of their paths.

    Links are not followed.
    """
    found = (file for folder in folders for file in _files(folder))
    return sorted({file.resolve(): file for file in found}.values())


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        if SETTINGS in names:  # an agent's own files are no records
            folders[:] = [name for name in folders if name != WORKSPACE]
        yield from (Path(parent, name) for name in names if is_known(name))


def is_known(name: str) -> bool:
    """Whether a file of this name is read."""
    return name in KNOWN or name.endswith(SUFFIX)


def first_of_each(runs: Iterable[Run]) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """Each training once, and the others: the same asked again, on another machine perhaps.

    The first that was scored counts, so that nobody gains by training one again; of equally old
    ones the first as text, so that the order in which stores are read does not matter.
    """
    by_id: dict[str, list[Run]] = {}
    for run in runs:
        by_id.setdefault(run.run_id, []).append(run)
    trainings = sorted(
        map(_different, by_id.values()), key=lambda same: (*_standing(same[0]), same[0].run_id)
    )
    return tuple(same[0] for same in trainings), tuple(
        run for same in trainings for run in same[1:]
    )


def _different(same: list[Run]) -> list[Run]:
    """The different runs of one id, the one that counts first."""
    if len(same) == 1:
        return same  # to write out every run of a large store would take longer than to read it
    different = {to_json(run): run for run in same}
    ordered = sorted(different.items(), key=lambda item: (*_standing(item[1]), item[0]))
    return [run for _, run in ordered]


def _standing(run: Run) -> tuple[bool, str, bool]:
    return run.test is None, run.created_at, not run.source  # an export may leave the source out


def _search(journal: Path) -> Search:
    folder = journal.parent
    return Search(
        name=folder.name,
        journal=journal,
        settings=read_settings(folder / SETTINGS),
        attempts=tuple(Journal(journal).attempts()),
    )


def read_settings(file: Path) -> Mapping[str, Any]:
    """What `design.json` says; empty where there is none. Raises RecordError for a damaged one."""
    if not file.exists():
        return {}
    try:
        settings = json.loads(file.read_bytes())
    except ValueError as error:
        raise RecordError(f"{file} is no JSON: {error}. Restore it from a copy.") from None
    if not isinstance(settings, dict):
        raise RecordError(f"expected an object in {file}, found {type(settings).__name__}.")
    return settings
