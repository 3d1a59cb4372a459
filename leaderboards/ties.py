"""Who can be told apart: groups of entries that the seeds do not separate.

Within a board, neighbours in the order of their means are held against each other seed by seed
(`leaderboards.comparison`); a group is a stretch of the order in which nobody is better than
anybody. Over several tasks, mean ranks are held against the critical difference of Nemenyi's test,
as in Demšar 2006 (https://jmlr.org/papers/v7/demsar06a.html).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import fmean

from leaderboards.comparison import compare
from leaderboards.intervals import LEVEL
from leaderboards.noise import Noise
from lra_design.records import record


@record
class CriticalDifference:
    """Mechanisms over several tasks, by their mean rank: the figure that papers draw."""

    names: tuple[str, ...]
    """Best first."""
    mean_ranks: tuple[float, ...]
    """1 is best; equal accuracies share the mean of their ranks."""
    num_tasks: int
    difference: float
    """Mean ranks nearer than this are not told apart, at a level of 5 %."""
    groups: tuple[tuple[int, ...], ...]
    """Places in `names` that a bar connects."""


def tie_groups(
    accuracies: Sequence[Mapping[int, float]], noise: Noise | None
) -> tuple[tuple[int, ...], ...]:
    """Stretches of at least two places between whom no comparison finds a better one.

    accuracies: by seed, of each entry, best mean first. A pair with too few seeds to tell is tied.
    """

    @cache
    def alike(one: int, other: int) -> bool:
        verdict = compare(accuracies[one], accuracies[other], noise).verdict
        return verdict in ("within noise", "too few seeds")

    return _stretches(len(accuracies), alike)


def critical_difference(accuracies: Mapping[str, Sequence[float]]) -> CriticalDifference:
    """Mean ranks of mechanisms over tasks, and who is not told apart.

    accuracies: by mechanism, one for each task, in one order of tasks. Raises ValueError for fewer
    than two mechanisms or tasks, or lengths that differ.
    """
    lengths = {len(values) for values in accuracies.values()}
    if len(accuracies) < 2 or len(lengths) != 1 or min(lengths) < 2:
        raise ValueError(
            "expected at least two mechanisms with accuracies on the same tasks, two at least, "
            f"found {len(accuracies)} with {sorted(lengths)}"
        )
    names = list(accuracies)
    by_task = [ranks(column) for column in zip(*accuracies.values(), strict=True)]
    means = {name: fmean(task[i] for task in by_task) for i, name in enumerate(names)}
    ordered = sorted(names, key=lambda name: (means[name], name))
    difference = nemenyi_difference(len(names), len(by_task))
    return CriticalDifference(
        names=tuple(ordered),
        mean_ranks=tuple(means[name] for name in ordered),
        num_tasks=len(by_task),
        difference=difference,
        groups=_stretches(
            len(names), lambda one, other: means[ordered[other]] - means[ordered[one]] < difference
        ),
    )


def ranks(accuracies: Sequence[float]) -> list[float]:
    """1 for the highest; equal ones share the mean of the ranks that they take."""
    from scipy.stats import rankdata

    return [float(rank) for rank in rankdata([-accuracy for accuracy in accuracies])]


def nemenyi_difference(num_mechanisms: int, num_tasks: int) -> float:
    """q sqrt(k (k + 1) / (6 N)), q from the studentised range over sqrt(2) (Demšar 2006, 3.2.2)."""
    from scipy.stats import studentized_range

    k = num_mechanisms
    q = float(studentized_range.ppf(LEVEL, k, math.inf)) / math.sqrt(2)
    return q * math.sqrt(k * (k + 1) / (6 * num_tasks))


def _stretches(number: int, alike: Callable[[int, int], bool]) -> tuple[tuple[int, ...], ...]:
    """The longest stretches in which all are alike, none within another."""
    found: list[tuple[int, ...]] = []
    end = 1
    for start in range(number):
        end = max(end, start + 1)  # part of a stretch is a stretch
        while end < number and all(alike(place, end) for place in range(start, end)):
            end += 1
        if end - start > 1 and not (found and found[-1][-1] >= end - 1):
            found.append(tuple(range(start, end)))
    return tuple(found)
