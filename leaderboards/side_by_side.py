"""Published results and our own of the same mechanism and task, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from statistics import fmean
from typing import Literal

from leaderboards.human import TASK_FAMILIES, HumanResult, resembled_family, results
from leaderboards.reproduction import Line
from leaderboards.scores import Estimate, estimate
from trainers.recipes import get_variant

Relation = Literal["same recipe", "same size", "other size", "other task"]
"""How a published result was come by: in the network and by the recipe of ours (as far as
docs/recipes.md says); in the same network; in another one; on a larger task of the same kind."""
Verdict = Literal["within", "within reach", "above", "below"]
"""Where our mean lies beside the spread of the published results of the same size: in it; outside,
but our interval touches it; above it; below it."""
FEWEST_ORDERED = 3


@dataclass(frozen=True)
class PublishedResult:
    """One published result beside ours."""

    result: HumanResult
    relation: Relation
    difference: float | None
    """Ours minus published, in percentage points; None without ours, or on another task."""


@dataclass(frozen=True)
class SideBySide:
    """One mechanism on one task."""

    line: Line
    ours: Estimate | None
    """On the test split, over the seeds; None where nothing was scored."""
    published: tuple[PublishedResult, ...]
    """Nearest relation first."""

    @property
    def spread(self) -> tuple[float, float] | None:
        """Lowest and highest published accuracy of the same size and task, without what carries a
        flag; None without one."""
        accuracies = [
            other.result.accuracy
            for other in self.published
            if other.relation in ("same recipe", "same size") and other.result.may_anchor
        ]
        return (min(accuracies), max(accuracies)) if accuracies else None

    @property
    def verdict(self) -> Verdict | None:
        """None where ours or a spread is missing."""
        if self.ours is None or self.spread is None:
            return None
        low, high = self.spread
        if low <= self.ours.mean <= high:
            return "within"
        if self.ours.low <= high and low <= self.ours.high:
            return "within reach"
        return "above" if self.ours.mean > high else "below"


def side_by_side(line: Line) -> SideBySide:
    """What is published of a line of the plan, and what its runs came to."""
    scores = [run.test for run in line.runs if run.test is not None]
    ours = estimate(scores)
    family = TASK_FAMILIES.get(line.task) or resembled_family(line.task)
    found = [] if family is None else results(family)
    own = [_beside(line, result, ours) for result in found if result.mechanism == line.mechanism]
    nearest = ("same recipe", "same size", "other size", "other task")
    return SideBySide(line, ours, tuple(sorted(own, key=lambda row: nearest.index(row.relation))))


def _beside(line: Line, result: HumanResult, ours: Estimate | None) -> PublishedResult:
    relation = _relation(line, result)
    difference = None
    if ours is not None and relation != "other task":
        difference = 100 * (ours.mean - result.accuracy)
    return PublishedResult(result, relation, difference)


def _relation(line: Line, result: HumanResult) -> Relation:
    if line.task not in TASK_FAMILIES:
        return "other task"
    if line.scale != "small" or result.size != "small":
        return "other size"
    recipe = get_variant(line.task, line.scale).source.split()[0]
    return "same recipe" if result.source.split()[0] == recipe else "same size"


@dataclass(frozen=True)
class Agreement:
    """Whether our scores of a task come in the order of the published ones."""

    task: str
    sizes: Literal["small", "any"]
    """Which published results: those in one small network, or of any size, mixed."""
    published: tuple[str, ...]
    """Mechanisms, best first by the mean of their published results."""
    ours: tuple[str, ...]
    tau: float
    """Kendall's tau-b: 1 the same order, -1 the reverse."""

    @property
    def num_orders(self) -> int:
        """In how many orders so many mechanisms can come: one of them agrees by chance."""
        return factorial(len(self.ours))


def agreements(rows: Iterable[SideBySide]) -> list[Agreement]:
    """Task by task, against small networks and against all; without tasks of fewer than three
    mechanisms that have both."""
    by_task: dict[str, list[SideBySide]] = {}
    for row in rows:
        by_task.setdefault(row.line.task, []).append(row)
    found = (
        _agreement(task, sizes, members)
        for task, members in by_task.items()
        for sizes in ("small", "any")
    )
    return [agreement for agreement in found if agreement is not None]


def _agreement(
    task: str, sizes: Literal["small", "any"], rows: Sequence[SideBySide]
) -> Agreement | None:
    from scipy.stats import kendalltau

    published = {row.line.mechanism: _published_mean(row, sizes) for row in rows}
    ours = {row.line.mechanism: row.ours.mean for row in rows if row.ours is not None}
    theirs = {name: mean for name in ours if (mean := published[name]) is not None}
    if len(theirs) < FEWEST_ORDERED:
        return None
    tau = kendalltau(list(theirs.values()), [ours[name] for name in theirs]).statistic
    return Agreement(
        task=task,
        sizes=sizes,
        published=_best_first(theirs, theirs),
        ours=_best_first(theirs, ours),
        tau=float(tau),
    )


def _published_mean(row: SideBySide, sizes: Literal["small", "any"]) -> float | None:
    accuracies = [
        other.result.accuracy
        for other in row.published
        if other.result.may_anchor and (sizes == "any" or other.result.size == "small")
    ]
    return fmean(accuracies) if accuracies else None


def _best_first(names: Iterable[str], values: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: -values[name]))
