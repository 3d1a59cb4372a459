"""A field of agents on several tasks: what each search came to, and the rows of the table.

A *cell* is one search: an agent, a task, a setting, a seed. A *row* is an agent under one task and
setting, over its seeds, or over all its cells. What failed by our fault, or was not run yet, is in
no rate: it is counted apart. What has no score is missing, never 0; how often an agent handed in
something valid stands beside its scores and is not mixed into them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Literal

from leaderboards.human import TASK_FAMILIES, anchor
from leaderboards.intervals import normalised_score, student_t_interval, wilson_interval
from lra_design.records import NOTHING, Score, Spending, record

Setting = Literal["fixed", "tuned"]
Outcome = Literal["valid", "nothing valid", "llm fault", "failed", "missing"]
"""How a search ended: with a finalist that was valid, trained and scored; with none; because its
llm gave no answer; by a fault of ours, which the same command tries again; not at all yet."""
ENDED: tuple[Outcome, ...] = ("valid", "nothing valid", "llm fault")
"""What counts in the rate of valid submissions."""
Over = Literal["search seeds", "training seeds", "examples"]


@record
class Cell:
    """One search and what its finalist reached."""

    agent: str
    """Its name in the field; of a reference, the reference's."""
    task: str
    setting: Setting
    seed: int
    """Of the search."""
    outcome: Outcome
    why: str = ""
    """Of a search without a finalist."""
    attempts: int = 0
    valid_attempts: int = 0
    finalist: str | None = None
    """Hash of its source."""
    validations: tuple[float, ...] = ()
    """Accuracy of each of the finalist's final trainings, which have seeds of their own."""
    tests: tuple[Score, ...] = ()
    """The same on the sealed test split."""
    spent: Spending | None = None
    """By the search, in device-seconds of validation and training, tokens and dollars; None: there
    was no search."""
    tuning_seconds: float | None = None
    """Device-seconds of the finalist's study; None: it was not tuned."""


@record
class Share:
    """How many of how many, with Wilson's 95 % interval."""

    count: int
    of: int
    low: float
    high: float


@record
class Spread:
    """A mean and its 95 % interval."""

    mean: float
    low: float
    high: float
    over: Over
    """What another draw of which the interval covers."""


@record
class Row:
    """An agent, or a reference, under one task and setting, or over all of them."""

    agent: str
    is_reference: bool
    task: str | None
    """None: over all tasks and settings."""
    setting: Setting | None
    cells: int
    valid_cells: Share | None
    """The valid-submission rate: searches that ended with a valid finalist, of those that ended."""
    valid_attempts: Share | None
    """Attempts that the validator found valid, of all."""
    best_validation: float | None
    """The highest of the cells' mean accuracies on the validation split."""
    test: Spread | None
    """The mean over the cells that have a finalist."""
    normalised: Spread | None
    """`intervals.normalised_score` of it, not capped; None where nothing comparable is published,
    and over all tasks."""
    spent: Spending | None
    """By all cells together; None for references. What one of them does not know is not known."""
    tuning_seconds: float | None
    reasons: tuple[str, ...]
    """Why cells have no finalist, each said once."""


def table(
    cells: Sequence[Cell], references: Sequence[Cell], *, chance: Mapping[str, float]
) -> list[Row]:
    """The rows of a tournament: each agent over all its cells, then task by task and setting by
    setting, best mean test accuracy first, agents and references together.

    chance: task id -> accuracy of always answering the most frequent class.
    """
    totals = [_row(group, place=None) for group in _by_agent(cells)]
    places = dict.fromkeys((cell.task, cell.setting) for cell in (*cells, *references))
    rows = [
        row
        for place in places
        for row in _ordered(
            [
                *_rows_at(place, cells, chance.get(place[0]), is_reference=False),
                *_rows_at(place, references, chance.get(place[0]), is_reference=True),
            ]
        )
    ]
    return [*_ordered(totals), *rows]


def share(count: int, of: int) -> Share | None:
    """`count` of `of` with its interval; None of none."""
    if not of:
        return None
    low, high = wilson_interval(count / of, of)
    return Share(count=count, of=of, low=low, high=high)


def spread(cells: Sequence[Cell]) -> Spread | None:
    """The mean test accuracy over cells, each of which counts as much; None without a score.

    Searches with several finalists give an interval over searches. Where all of them found the same
    one, and where there is one search, its trainings' seeds are what is left to vary, or the test
    examples where it was trained once.
    """
    scored = [cell for cell in cells if cell.tests]
    if not scored:
        return None
    means = [fmean(score.accuracy for score in cell.tests) for cell in scored]
    if len({cell.finalist for cell in scored}) > 1:
        low, high = student_t_interval(means)
        return Spread(mean=fmean(means), low=low, high=high, over="search seeds")
    return _spread_of_one(max((cell.tests for cell in scored), key=len))


def _spread_of_one(tests: Sequence[Score]) -> Spread:
    accuracies = [score.accuracy for score in tests]
    if len(accuracies) > 1:
        low, high = student_t_interval(accuracies)
        return Spread(mean=fmean(accuracies), low=low, high=high, over="training seeds")
    low, high = wilson_interval(accuracies[0], tests[0].num_examples)
    return Spread(mean=accuracies[0], low=low, high=high, over="examples")


def _by_agent(cells: Iterable[Cell]) -> list[list[Cell]]:
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(cell.agent, []).append(cell)
    return list(groups.values())


def _rows_at(
    place: tuple[str, Setting], cells: Iterable[Cell], chance: float | None, *, is_reference: bool
) -> list[Row]:
    """The rows of one task and setting."""
    here = [cell for cell in cells if (cell.task, cell.setting) == place]
    return [_row(group, place, chance, is_reference=is_reference) for group in _by_agent(here)]


def _row(
    cells: Sequence[Cell],
    place: tuple[str, Setting] | None,
    chance: float | None = None,
    *,
    is_reference: bool = False,
) -> Row:
    """The row of one agent's cells. place: None for those of all tasks and settings."""
    ended = [] if is_reference else [cell for cell in cells if cell.outcome in ENDED]
    test = spread(cells) if place else None
    validations = [fmean(cell.validations) for cell in cells if cell.validations]
    return Row(
        agent=cells[0].agent,
        is_reference=is_reference,
        task=place[0] if place else None,
        setting=place[1] if place else None,
        cells=len(cells),
        valid_cells=share(sum(cell.outcome == "valid" for cell in ended), len(ended)),
        valid_attempts=share(
            sum(cell.valid_attempts for cell in cells), sum(cell.attempts for cell in cells)
        ),
        best_validation=max(validations, default=None) if place else None,
        test=test,
        normalised=_normalised(test, cells, chance) if test and place else None,
        spent=_total(cell.spent for cell in cells),
        tuning_seconds=_sum([cell.tuning_seconds for cell in cells]),
        reasons=tuple(dict.fromkeys(cell.why for cell in cells if cell.why)),
    )


def _normalised(test: Spread, cells: Sequence[Cell], chance: float | None) -> Spread | None:
    """Where a mean and its ends lie between chance and the human state of the art."""
    human = anchor(TASK_FAMILIES.get(cells[0].task))
    if human is None or chance is None:
        return None
    num_labels = next(score.num_labels for cell in cells for score in cell.tests)
    mean, low, high = (
        normalised_score(end, chance=chance, sota=human.accuracy, num_labels=num_labels)
        for end in (test.mean, test.low, test.high)
    )
    return Spread(mean=mean, low=low, high=high, over=test.over)


def _total(spent: Iterable[Spending | None]) -> Spending | None:
    known = [one for one in spent if one is not None]
    return sum(known, start=NOTHING) if known else None


def _sum(seconds: Sequence[float | None]) -> float | None:
    known = [one for one in seconds if one is not None]
    return sum(known) if known else None


def _ordered(rows: Iterable[Row]) -> list[Row]:
    """Best mean test accuracy first; then, and without any, most often valid first."""
    return sorted(rows, key=_place)


def _place(row: Row) -> tuple[float, float, str]:
    valid = row.valid_cells.count / row.valid_cells.of if row.valid_cells else -1.0
    return (-row.test.mean if row.test else math.inf, -valid, row.agent)
