"""From runs to scores: what each entry of the leaderboard reached, how sure that is, and its rank.

An *entry* is one mechanism under one set of conditions, over all its seeds. A *board* is everything
that must be equal for two entries to be comparable; entries are ranked within their board.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import fmean
from typing import Any, Literal

from leaderboards.human import TASK_FAMILIES, anchor
from leaderboards.intervals import normalised_score, student_t_interval, wilson_interval
from leaderboards.selection import selection_bias_points
from lra_design.errors import RecordError
from lra_design.records import (
    Divergence,
    Finding,
    HostConfig,
    Level,
    Run,
    Scalar,
    Score,
    TrainConfig,
    TuningProtocol,
    record,
)

RANKED_SEEDS = 5
"""Seeds an entry needs to be ranked; with fewer it is shown without a rank."""
IntervalKind = Literal["student-t over seeds", "wilson over examples"]


@record
class Estimate:
    """An accuracy and the interval it is known to within."""

    mean: float
    """In [0, 1]."""
    low: float
    high: float
    kind: IntervalKind


@record
class Board:
    """What two entries must share to be compared."""

    task: str
    scale: Literal["smoke", "small", "full"]
    setting: Literal["fixed", "tuned"]
    mode: Literal["causal", "bidirectional"]
    test_split_hash: str | None
    """None while no run on the task has been scored."""
    host: HostConfig
    train: TrainConfig | None
    """The common recipe; None in the `tuned` setting, where each entry has its own."""
    tuning: TuningProtocol | None = None
    """What each entry of the `tuned` setting was tuned with: entries that had more trials or more
    seconds, or another space of the recipe, are not comparable. None without a ledger."""


@record
class Entry:
    """One mechanism under one set of conditions, over its seeds."""

    board: Board
    name: str
    origin: Literal["reference", "candidate"]
    agent: str | None
    source_hash: str
    train: TrainConfig
    hyperparameters: dict[str, Scalar]
    num_parameters: int
    num_attempts: int
    """How many attempts the agent chose this one from."""
    run_ids: tuple[str, ...]
    """The run of each seed that counts, seeds ascending."""
    seeds: tuple[int, ...]
    """The seeds that have a test score."""
    validation: float | None
    """Mean accuracy on the validation split."""
    test: Estimate | None
    """None until the referee has scored a run."""
    chance: float | None
    """Accuracy of always answering the task's most frequent class."""
    gap_points: float | None
    """Percentage points above the human state of the art; negative below it. None without one."""
    normalised: float | None
    """NS, not capped: 0 at chance, 1 at the human state of the art. None without an anchor."""
    normalised_capped: float | None
    """NS, capped to [0, 1]."""
    findings: tuple[Finding, ...]
    divergences: tuple[Divergence, ...] = ()
    """What its trainings came to that led nowhere: one for each such seed."""
    isolation: Level
    """The weakest that any of the runs had."""
    selection_bias_points: float | None = None
    """Percentage points by which being chosen, from attempts or trials, raised the validation
    accuracy that chose it at most; see `leaderboards.selection`. None when it was not chosen, or
    no noise floor is measured."""
    rank: int | None = None
    """Place by mean test accuracy among the entries with enough seeds; None when not ranked."""
    tied_with_best: bool = False
    """Its interval overlaps that of the board's best: the data does not tell the two apart."""


_WEAKEST_FIRST: tuple[Level, ...] = ("unsafe", "standard", "strong", "container")


def rank(runs: Iterable[Run], *, chance: Mapping[str, float]) -> list[Entry]:
    """The entries that `runs` amount to, board by board, best mean test accuracy first.

    chance: task id -> accuracy of always answering the most frequent class. Of several runs of one
    seed the first scored one counts, so that nobody gains by running a seed again. Raises
    RecordError when a score is no number in [0, 1].
    """
    runs = list(runs)
    groups: dict[str, list[Run]] = {}
    boards: dict[str, Board] = {}
    hashes = _known_hashes(runs)
    for run in runs:
        _refuse_bad_scores(run)
        board = _board(run, hashes)
        key = _entry_key(run, board, hashes)
        groups.setdefault(key, []).append(run)
        boards[key] = board
    entries = [_entry(boards[key], group, chance) for key, group in groups.items()]
    by_board = group_by_board(sorted(entries, key=_order)).values()
    return [entry for members in by_board for entry in _placed(members)]


def group_by_board(entries: Iterable[Entry]) -> dict[Board, list[Entry]]:
    """Entries by board, in the order in which they come."""
    groups: dict[Board, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(entry.board, []).append(entry)
    return groups


def _refuse_bad_scores(run: Run) -> None:
    for score in (run.validation, run.test):
        if score is not None and not 0 <= score.accuracy <= 1:  # also refuses NaN
            raise RecordError(
                f"run {run.run_id}: expected a {score.split} accuracy in [0, 1], found "
                f"{score.accuracy}. Remove the run from what is ranked."
            )


def _known_hashes(runs: Iterable[Run]) -> dict[tuple[str, str], set[str]]:
    known: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        for score in (run.validation, run.test):
            if score is not None:
                known.setdefault((run.task, score.split), set()).add(score.split_hash)
    return known


def _split_hash(
    task: str, split: str, score: Score | None, known: dict[tuple[str, str], set[str]]
) -> str | None:
    """The split's hash; a run without a score belongs to the task's split if there is only one."""
    if score is not None:
        return score.split_hash
    hashes = known.get((task, split), set())
    return next(iter(hashes)) if len(hashes) == 1 else None


def _board(run: Run, known: dict[tuple[str, str], set[str]]) -> Board:
    return Board(
        task=run.task,
        scale=run.scale,
        setting=run.setting,
        mode=run.mode,
        test_split_hash=_split_hash(run.task, "test", run.test, known),
        host=run.host,
        train=run.train if run.setting == "fixed" else None,
        tuning=run.tuning.protocol if run.tuning else None,
    )


def _entry_key(run: Run, board: Board, known: dict[tuple[str, str], set[str]]) -> str:
    """Equal for two runs exactly when they differ in nothing but the seed and where they ran."""
    validation_hash = _split_hash(run.task, "validation", run.validation, known)
    conditions: list[Any] = [asdict(board), asdict(run.train), run.hyperparameters]
    return json.dumps([run.source_hash, validation_hash, *conditions], sort_keys=True)


def _entry(board: Board, runs: list[Run], chance: Mapping[str, float]) -> Entry:
    runs = _one_per_seed(runs)
    first = runs[0]
    scores = [run.test for run in runs if run.test is not None]
    test = estimate(scores)
    entry = Entry(
        board=board,
        name=first.name,
        origin=first.origin,
        agent=first.agent,
        source_hash=first.source_hash,
        train=first.train,
        hyperparameters=first.hyperparameters,
        num_parameters=first.num_parameters,
        num_attempts=max(run.num_attempts for run in runs),
        run_ids=tuple(run.run_id for run in runs),
        seeds=tuple(run.seed for run in runs if run.test is not None),
        validation=_mean([run.validation for run in runs]),
        test=test,
        chance=chance.get(board.task),
        gap_points=None,
        normalised=None,
        normalised_capped=None,
        findings=_distinct_findings(runs),
        divergences=tuple(run.divergence for run in runs if run.divergence is not None),
        isolation=_weakest_isolation(runs),
        selection_bias_points=selection_bias_points(runs),
    )
    return entry if test is None else _against_human(entry, test.mean, scores[0].num_labels)


def _one_per_seed(runs: list[Run]) -> list[Run]:
    chosen: dict[int, Run] = {}
    for run in runs:
        there = chosen.get(run.seed)
        if there is None or (there.test is None and run.test is not None):
            chosen[run.seed] = run
    return [chosen[seed] for seed in sorted(chosen)]


def _mean(scores: Iterable[Score | None]) -> float | None:
    known = [score.accuracy for score in scores if score is not None]
    return fmean(known) if known else None


def estimate(scores: Sequence[Score]) -> Estimate | None:
    """Mean accuracy over seeds and its interval; over examples where there is one; None of none."""
    if not scores:
        return None
    accuracies = [score.accuracy for score in scores]
    kind: IntervalKind = "student-t over seeds"
    if len(scores) > 1:
        low, high = student_t_interval(accuracies)
    else:
        kind = "wilson over examples"
        low, high = wilson_interval(accuracies[0], scores[0].num_examples)
    return Estimate(mean=fmean(accuracies), low=low, high=high, kind=kind)


def _weakest_isolation(runs: list[Run]) -> Level:
    return min((run.isolation.level for run in runs), key=_WEAKEST_FIRST.index)


def _distinct_findings(runs: list[Run]) -> tuple[Finding, ...]:
    return tuple(dict.fromkeys(finding for run in runs for finding in run.findings))


def _against_human(entry: Entry, accuracy: float, num_labels: int) -> Entry:
    """The entry with what compares it to the human state of the art, where there is one."""
    human = anchor(TASK_FAMILIES.get(entry.board.task))
    if human is None:
        return entry
    score = None
    if entry.chance is not None:
        score = normalised_score(
            accuracy, chance=entry.chance, sota=human.accuracy, num_labels=num_labels
        )
    return replace(
        entry,
        gap_points=100 * (accuracy - human.accuracy),
        normalised=score,
        normalised_capped=None if score is None else min(1.0, max(0.0, score)),
    )


def _order(entry: Entry) -> tuple[Any, ...]:
    """Boards side by side; in a board the best mean first, what has no score last."""
    board = entry.board
    return (
        board.task,
        ("full", "small", "smoke").index(board.scale),
        board.setting,
        board.mode,
        json.dumps(asdict(board), sort_keys=True),
        -entry.test.mean if entry.test else math.inf,
        entry.name,
        entry.source_hash,
    )


def _placed(entries: list[Entry]) -> list[Entry]:
    """One board's entries, best first, with their ranks and who is tied with the best."""
    ranked = [entry for entry in entries if len(entry.seeds) >= RANKED_SEEDS]
    best = next((entry.test for entry in (*ranked, *entries) if entry.test), None)
    return [
        replace(
            entry,
            rank=ranked.index(entry) + 1 if entry in ranked else None,
            tied_with_best=best is not None and _overlap(entry.test, best),
        )
        for entry in entries
    ]


def _overlap(one: Estimate | None, other: Estimate) -> bool:
    return one is not None and one.low <= other.high and other.low <= one.high
