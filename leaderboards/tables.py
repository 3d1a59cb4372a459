"""A leaderboard as tidy tables, for whoever studies it: `leaderboards.load("runs")`.

One row is one run, entry, attempt, finding or trial. The columns and their units stand in
`leaderboards.columns`, and in docs/research.md. Needs the extra `tables` (pandas).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leaderboards.columns import ATTEMPTS, ENTRIES, FINDINGS, RUNS, TRIALS, Columns
from leaderboards.contents import Contents
from leaderboards.index import open_index, read_runs_and_dossiers
from leaderboards.index_sources import Values
from leaderboards.rows import Row, entry_rows, run_row, trial_rows
from leaderboards.scores import Entry, rank
from lra_design.errors import UsageError
from tasks.registry import TASKS

if TYPE_CHECKING:
    from pandas import DataFrame

_DTYPES = {"text": "string", "whole": "Int64", "number": "float64", "yes/no": "boolean"}
SCORE = "accuracy:"
"""Before the name of a task: what an attempt reached on it."""


@dataclass(frozen=True)
class Tables:
    """What is in some folders, a row each. What is missing is missing (`NA`, `nan`), never 0."""

    runs: DataFrame
    """`columns.RUNS`: every training, repeats among them."""
    entries: DataFrame
    """`columns.ENTRIES`: a mechanism under one set of conditions, over its seeds; best first."""
    attempts: DataFrame
    """`columns.ATTEMPTS`, and `accuracy:TASK` for every task that an attempt was scored on."""
    findings: DataFrame
    """`columns.FINDINGS`: what was found of the attempts."""
    trials: DataFrame
    """`columns.TRIALS`: every trial of every study."""


def load_tables(folders: Sequence[Path]) -> Tables:
    """What is in and below `folders`, by their indexes where they have one.

    Raises UsageError for a folder that is none or without pandas, RecordError for a damaged file,
    DataError for one that cannot be read.
    """
    require_folders(folders)
    contents = read_runs_and_dossiers(folders)
    attempts, findings = read_attempts(folders)
    return Tables(
        runs=_frame(RUNS, run_rows(contents)),
        entries=_frame(ENTRIES, ranked_rows(contents)),
        attempts=_with_scores(_frame(ATTEMPTS, attempts)),
        findings=_frame(FINDINGS, findings),
        trials=_frame(TRIALS, list(trial_rows(contents.runs))),
    )


def table_rows(name: str, folders: Sequence[Path]) -> list[Row]:
    """The rows of one table, for an export. name: one of `columns.TABLES`."""
    if name in ("attempts", "findings"):
        return list(read_attempts(folders)[name == "findings"])
    contents = read_runs_and_dossiers(folders)
    if name == "runs":
        return run_rows(contents)
    return ranked_rows(contents) if name == "entries" else list(trial_rows(contents.runs))


def run_rows(contents: Contents) -> list[Row]:
    """Rows of `columns.RUNS`."""
    counted = [run_row(run, counts=True) for run in contents.runs]
    return counted + [run_row(run, counts=False) for run in contents.repeats]


def ranked_rows(contents: Contents) -> list[Row]:
    """Rows of `columns.ENTRIES`, board by board, best first."""
    return entry_rows(contents, _ranked(contents))


def rank_all(folders: Sequence[Path]) -> tuple[Contents, list[Entry]]:
    """What is in and below `folders`, without the searches, and the entries that it amounts to."""
    contents = read_runs_and_dossiers(folders)
    return contents, _ranked(contents)


def _ranked(contents: Contents) -> list[Entry]:
    return rank(contents.runs, chance={task.id: task.chance for task in TASKS.values()})


def read_attempts(folders: Sequence[Path]) -> tuple[list[Row], list[Row]]:
    """Rows of `columns.ATTEMPTS` and of `columns.FINDINGS`."""
    attempts: list[Row] = []
    findings: list[Row] = []
    for folder in folders:
        with open_index(folder) as index:
            attempts.extend(_named(ATTEMPTS, index.attempts()))
            findings.extend(_named(FINDINGS, index.findings()))
    return attempts, findings


def _named(columns: Columns, rows: Iterable[Values]) -> Iterable[Row]:
    for row in rows:
        named = dict(zip(columns, row, strict=True))
        yield {key: _plain(named[key], kind) for key, (kind, _) in columns.items()}


def _plain(value: Any, kind: str) -> Any:
    """SQLite has no truth values of its own."""
    return bool(value) if kind == "yes/no" and value is not None else value


def require_folders(folders: Sequence[Path]) -> None:
    """Raises UsageError for none, and for one that is no folder."""
    missing = [str(folder) for folder in folders if not folder.is_dir()]
    if missing or not folders:
        found = f"'{missing[0]}' is none" if missing else "found nothing"
        raise UsageError(f"expected folders of runs, {found}. Name one, such as runs.")


def _frame(columns: Columns, rows: Sequence[Row]) -> DataFrame:
    try:
        import pandas
    except ImportError:
        raise UsageError("tables need pandas: pip install 'lra-design[tables]'") from None
    columns_of = {
        name: pandas.Series([row[name] for row in rows], dtype=_DTYPES[kind])
        for name, (kind, _) in columns.items()
    }
    frame: DataFrame = pandas.DataFrame(columns_of)
    return frame


def _with_scores(attempts: DataFrame) -> DataFrame:
    """With a column for each task instead of all accuracies in one."""
    scores: list[dict[str, Any]] = [json.loads(text) for text in attempts["scores"]]
    for task in sorted({task for one in scores for task in one}):
        attempts[SCORE + task] = [one.get(task, float("nan")) for one in scores]
    return attempts.drop(columns="scores")
