"""One mechanism over several tasks: its mean accuracy, and how sure that is.

The tasks' means are independent, each with a variance of its own, known from few seeds. The
interval of their mean is Student's t with the degrees of freedom of Welch and Satterthwaite
(Satterthwaite 1946, https://doi.org/10.2307/3002019).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, variance
from typing import Literal

from leaderboards.comparison import t_quantile
from leaderboards.human import TASK_FAMILIES
from leaderboards.scores import Entry
from lra_design.records import record

FIVE = ("listops", "text", "retrieval", "image", "pathfinder")
"""Families of the average that most papers print: LRA without Path-X."""


@record
class Mean:
    """The mean over tasks of mean accuracies over seeds."""

    mean: float
    """In [0, 1]."""
    low: float | None
    """95 % interval, cut to [0, 1]; None where a task has a single seed."""
    high: float | None
    df: float | None


@record
class Aggregate:
    """One mechanism on all five tasks, under equal conditions but for the task."""

    name: str
    source_hash: str
    agent: str | None
    scale: Literal["smoke", "small", "full"]
    setting: Literal["fixed", "tuned"]
    mode: Literal["causal", "bidirectional"]
    families: tuple[str, ...]
    """What of `FIVE` it has a test score on; the mean is over these."""
    accuracies: tuple[float, ...]
    """By family."""
    accuracy: Mean
    normalised: float | None
    """Mean NS, capped, of those that have one; None unless all have."""

    @property
    def complete(self) -> bool:
        """Whether its mean is over all five tasks, and so comparable with a published average."""
        return self.families == FIVE


def mean_over_tasks(accuracies: Sequence[Sequence[float]]) -> Mean:
    """The mean of each task's mean over its seeds. Raises ValueError without a task or a seed."""
    if not accuracies or not all(accuracies):
        raise ValueError(f"expected at least one seed of at least one task, found {accuracies}")
    mean = fmean(map(fmean, accuracies))
    if min(map(len, accuracies)) < 2:
        return Mean(mean=mean, low=None, high=None, df=None)
    errors = [variance(seeds) / len(seeds) for seeds in accuracies]
    df = satterthwaite_df(errors, [len(seeds) - 1 for seeds in accuracies])
    half = t_quantile(df) * math.sqrt(math.fsum(errors)) / len(errors)
    return Mean(mean=mean, low=max(0.0, mean - half), high=min(1.0, mean + half), df=df)


def satterthwaite_df(errors: Sequence[float], dfs: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances: (sum v)^2 / sum(v^2 / df).

    Between the smallest of `dfs` and their sum; the latter when all the variances are 0.
    """
    total = math.fsum(errors)
    if total == 0:
        return math.fsum(dfs)
    shares = [error / total for error in errors]  # v^2 itself could underflow
    return 1 / math.fsum(share * share / df for share, df in zip(shares, dfs, strict=True))


def aggregates(entries: Iterable[Entry], accuracies: Mapping[str, float]) -> list[Aggregate]:
    """Mechanisms with test scores on at least two of the five tasks, the most complete first, then
    by mean accuracy.

    accuracies: test accuracy by run id. Of several entries of one mechanism on one task, which
    differ in their recipe, the first counts: entries come best first.
    """
    groups: dict[tuple[str, ...], dict[str, Entry]] = {}
    for entry in entries:
        board = entry.board
        family = TASK_FAMILIES.get(board.task)
        if family in FIVE and entry.test is not None:
            key = (entry.source_hash, board.scale, board.setting, board.mode)
            groups.setdefault(key, {}).setdefault(family, entry)
    found = [_aggregate(by_family, accuracies) for by_family in groups.values() if by_family]
    several = [one for one in found if len(one.families) > 1]
    return sorted(several, key=lambda one: (-len(one.families), -one.accuracy.mean, one.name))


def _aggregate(by_family: Mapping[str, Entry], accuracies: Mapping[str, float]) -> Aggregate:
    families = tuple(family for family in FIVE if family in by_family)
    entries = [by_family[family] for family in families]
    seeds = [[accuracies[run] for run in one.run_ids if run in accuracies] for one in entries]
    scores = [entry.normalised_capped for entry in entries]
    known = [score for score in scores if score is not None]
    first = entries[0]
    return Aggregate(
        name=first.name,
        source_hash=first.source_hash,
        agent=first.agent,
        scale=first.board.scale,
        setting=first.board.setting,
        mode=first.board.mode,
        families=families,
        accuracies=tuple(map(fmean, seeds)),
        accuracy=mean_over_tasks(seeds),
        normalised=fmean(known) if len(known) == len(scores) else None,
    )
