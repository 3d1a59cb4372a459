"""What a leaderboard is made of: runs, dossiers and searches, found in folders.

FOLDER/records.jsonl     runs that were scored (`leaderboards.store`)
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
from leaderboards.bundles.layout import SUFFIX
from leaderboards.bundles.reading import read_bundle
from leaderboards.dossiers import DossierFile, Dossiers, by_subject
from leaderboards.store import Store
from lra_design.errors import RecordError
from lra_design.records import Attempt, Run, to_json

JOURNAL = "journal.sqlite"
SETTINGS = "design.json"
WORKSPACE = "workspace"
"""Where a program of somebody else writes, in a design run: nothing below it is read."""
KNOWN = (store.FILE_NAME, dossiers.FILE_NAME, JOURNAL)


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
    files = sorted({file.resolve(): file for folder in folders for file in _files(folder)}.values())
    named = {name: [file for file in files if file.name == name] for name in KNOWN}
    bundles = [read_bundle(file) for file in files if file.name.endswith(SUFFIX)]
    stored = (run for file in named[store.FILE_NAME] for run in Store(file.parent).runs())
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
    different = {to_json(run): run for run in runs}
    ordered = sorted(different.items(), key=lambda item: (*_standing(item[1]), item[0]))
    first: dict[str, Run] = {}
    for _, run in ordered:
        first.setdefault(run.run_id, run)
    return tuple(first.values()), tuple(run for _, run in ordered if run is not first[run.run_id])


def _standing(run: Run) -> tuple[bool, str, bool]:
    return run.test is None, run.created_at, not run.source  # an export may leave the source out


def _search(journal: Path) -> Search:
    folder = journal.parent
    return Search(
        name=folder.name,
        journal=journal,
        settings=_settings(folder / SETTINGS),
        attempts=tuple(Journal(journal).attempts()),
    )


def _settings(file: Path) -> Mapping[str, Any]:
    if not file.exists():
        return {}
    try:
        settings = json.loads(file.read_bytes())
    except ValueError as error:
        raise RecordError(f"{file} is no JSON: {error}. Restore it from a copy.") from None
    if not isinstance(settings, dict):
        raise RecordError(f"expected an object in {file}, found {type(settings).__name__}.")
    return settings
