"""Boards and their rows, as the templates show them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from string import ascii_lowercase

from leaderboards import table
from leaderboards.contents import Contents
from leaderboards.dossiers import Dossier, Dossiers, dossier_of
from leaderboards.human import (
    FAMILY_NOTES,
    TASK_FAMILIES,
    HumanResult,
    anchor,
    comparable_task,
    resembled_family,
    results,
)
from leaderboards.noise import noise_floor
from leaderboards.pareto import Costs, costs
from leaderboards.reading import Reading, readings
from leaderboards.repeats import Conditions
from leaderboards.scores import Board, Entry
from leaderboards.ties import tie_groups
from lra_design.records import Finding, IsolationRecord, Run

CHART_WIDTH = 200.0
"""Width of the interval chart in SVG units."""
CHART_MARGIN = 14.0
"""Room left and right of the axis for half a tick label."""


@dataclass(frozen=True)
class Axis:
    """The common axis of a board's interval chart."""

    low: float
    high: float

    def x(self, share: float) -> str:
        """Where an accuracy stands, in SVG units."""
        inner = CHART_WIDTH - 2 * CHART_MARGIN
        return f"{CHART_MARGIN + inner * (share - self.low) / (self.high - self.low):.1f}"

    @property
    def ticks(self) -> list[float]:
        """Three to six round accuracies."""
        span = self.high - self.low
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if span / s < 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Row:
    """One entry with the runs it was computed from."""

    key: str
    """Names its page."""
    entry: Entry
    runs: tuple[Run, ...]
    reading: Reading
    dossier: Dossier | None
    costs: Costs
    letters: str = ""
    """Ranked entries that share a letter are not told apart, seed by seed; empty without a rank."""
    is_copy: bool = False
    """Stands under the entry that it repeats."""

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those of the certificate that the runs do not carry themselves."""
        findings = self.dossier.certificate.findings if self.dossier else ()
        there = {finding.check for finding in self.entry.findings}
        return tuple(one for one in findings if one.tier == "warning" and one.check not in there)

    @property
    def isolations(self) -> tuple[IsolationRecord, ...]:
        """The different ways in which the runs were kept apart from the judge."""
        return tuple(dict.fromkeys(run.isolation for run in self.runs))


@dataclass(frozen=True)
class BoardView:
    """One board as the template shows it."""

    key: str
    board: Board
    rows: tuple[Row, ...]
    axis: Axis
    chance: float | None
    best: float | None
    human: HumanResult | None
    landmarks: tuple[HumanResult, ...]
    comparable: bool
    """Whether the landmarks may be read against the entries."""


@dataclass(frozen=True)
class FamilyView:
    """All published results of one family."""

    task: str
    results: tuple[HumanResult, ...]
    note: str | None
    """What must be known to read them."""


def board_views(entries: Sequence[Entry], contents: Contents) -> tuple[BoardView, ...]:
    """The boards of `entries`, in their order, with the runs behind them.

    Raises ValueError when a run that an entry was computed from is not in `contents`.
    """
    by_id = {run.run_id: run for run in contents.runs}
    known = readings(entries, contents.runs)
    rows: dict[Board, list[Row]] = {}
    for entry, reading in zip(entries, known, strict=True):
        rows.setdefault(entry.board, []).append(_row(entry, reading, by_id, contents.dossiers))
    return tuple(_board_view(board, members) for board, members in rows.items())


def _row(entry: Entry, reading: Reading, by_id: Mapping[str, Run], dossiers: Dossiers) -> Row:
    runs = _runs_of(entry, by_id)
    dossier = dossier_of(runs[0], dossiers)
    return Row(
        key=entry_key(entry),
        entry=entry,
        runs=runs,
        reading=reading,
        dossier=dossier,
        costs=costs(entry, runs, dossier),
    )


def entry_key(entry: Entry) -> str:
    """Names an entry's page: equal as long as nothing but seeds is added to the entry."""
    what = [entry.source_hash, asdict(entry.board), asdict(entry.train), entry.hyperparameters]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def board_key(board: Board) -> str:
    """`board-listops-v1-small-fixed-causal-2f1c09d4`: names a board as long as nothing that its
    entries share changes."""
    words = re.findall("[a-z0-9]+", f"{board.task} {board.scale} {board.setting} {board.mode}")
    digest = hashlib.sha256(json.dumps(asdict(board), sort_keys=True).encode()).hexdigest()
    return "-".join(["board", *words, digest[:8]])[-120:]


def _lettered(board: Board, rows: Sequence[Row]) -> list[Row]:
    """The rows with the letters of their groups of ties (a compact letter display)."""
    ranked = [row for row in rows if row.entry.rank is not None]
    accuracies = [{run.seed: run.test.accuracy for run in row.runs if run.test} for row in ranked]
    noise = noise_floor(Conditions(board.task, board.scale, "fixed", board.mode), "test")
    groups = list(tie_groups(accuracies, noise))
    grouped = {place for group in groups for place in group}
    groups += [(place,) for place in range(len(ranked)) if place not in grouped]
    letters: dict[str, list[str]] = {}
    for number, group in enumerate(sorted(groups)):
        for place in group:
            letters.setdefault(ranked[place].key, []).append(_letter(number))
    return [replace(row, letters=" ".join(letters.get(row.key, ()))) for row in rows]


def _letter(number: int) -> str:
    round_, place = divmod(number, len(ascii_lowercase))
    return ascii_lowercase[place] + (str(round_) if round_ else "")


def _copies_below(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Each copy under the first of its kind, where that is on the board too."""
    here = {row.entry.source_hash for row in rows}
    copies: dict[str | None, list[Row]] = {}
    for row in rows:
        if row.reading.copy_of in here:
            copies.setdefault(row.reading.copy_of, []).append(replace(row, is_copy=True))
    firsts = [row for row in rows if row.reading.copy_of not in here]
    return tuple(
        one for first in firsts for one in (first, *copies.pop(first.entry.source_hash, ()))
    )


def _board_view(board: Board, rows: Sequence[Row]) -> BoardView:
    landmarks, comparable = table.board_landmarks(board)
    entries = [row.entry for row in rows]
    chance = next((entry.chance for entry in entries if entry.chance is not None), None)
    means = [entry.test.mean for entry in entries if entry.test]
    return BoardView(
        key=board_key(board),
        board=board,
        rows=_copies_below(_lettered(board, rows)),
        axis=_axis(entries, chance, landmarks if comparable else ()),
        chance=chance,
        best=max(means, default=None),
        human=anchor(TASK_FAMILIES.get(board.task)),
        landmarks=landmarks,
        comparable=comparable,
    )


def _runs_of(entry: Entry, by_id: Mapping[str, Run]) -> tuple[Run, ...]:
    missing = [run_id for run_id in entry.run_ids if run_id not in by_id]
    if missing:
        raise ValueError(
            f"expected every run of '{entry.name}' among the runs, {missing[0]} is not: "
            "pass the runs that the entries were computed from"
        )
    return tuple(by_id[run_id] for run_id in entry.run_ids)


def _axis(entries: list[Entry], chance: float | None, shown: Sequence[HumanResult]) -> Axis:
    """The smallest axis in steps of 5 points with room for all that is drawn on it."""
    tests = [entry.test for entry in entries if entry.test]
    marks = [bound for test in tests for bound in (test.low, test.high)]
    marks += [result.accuracy for result in shown]
    if chance is not None:
        marks.append(chance)
    if not marks:
        return Axis(0.0, 1.0)
    low = max(0, math.floor(20 * min(marks) - 0.2))
    high = min(20, math.ceil(20 * max(marks) + 0.2))
    return Axis(low / 20, high / 20)


def families(boards: Iterable[Board]) -> list[FamilyView]:
    """What is published on the tasks of `boards`, or on those that they resemble."""
    names = [TASK_FAMILIES.get(board.task) or resembled_family(board.task) for board in boards]
    known = sorted({name for name in names if name is not None})
    return [
        FamilyView(comparable_task(name), results(name), FAMILY_NOTES.get(name)) for name in known
    ]
