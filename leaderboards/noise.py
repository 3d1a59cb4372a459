"""The noise floor: by how much two trainings differ that differ in nothing but their seeds.

Every number is worked out from `repeats.jsonl`. The noise of a task is pooled over references: each
gives the variance of its accuracies over seeds, and more references give more degrees of freedom.
References may differ in their noise; how much they do says how far a pooled figure can be trusted
for a mechanism that was never measured. That is the usual hierarchy of variances, each a scaled
inverse chi-square around a common one (Smyth 2004, https://doi.org/10.2202/1544-6115.1027), whose
degrees of freedom are found from the spread of the logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, variance
from typing import Literal, NamedTuple

from leaderboards.repeats import Conditions, Mode, Repeats, Scale, Training, current_repeats
from lra_design.records import record

Split = Literal["validation", "test"]


@record
class MechanismNoise:
    """The noise of one reference."""

    name: str
    sd: float
    """Of one training's accuracy, in [0, 1]."""
    num_seeds: int


@record
class Sources:
    """Where the variance of one training's accuracy comes from; the three add up to 1."""

    weights: float
    """From the initial weights, whatever the order of the data."""
    order: float
    """From the order of the data, whatever the initial weights."""
    both: float
    """From the pair of them: neither explains it alone."""
    weights_p: float
    """How often as large an effect of the weights would be seen if they had none (F test)."""
    order_p: float
    num_mechanisms: int
    num_trainings: int


@record
class Noise:
    """The noise floor of a task under some conditions."""

    task: str
    scale: Scale
    setting: Literal["fixed", "tuned"]
    mode: Mode
    split: Split
    share: float
    """Of the recipe's steps that the trainings had."""
    sd: float
    """Standard deviation of one training's accuracy, in [0, 1], pooled over references."""
    df: int
    """Degrees of freedom it is known with."""
    common_sd: float
    """What the references' standard deviations lie around."""
    common_df: float
    """How many degrees of freedom `common_sd` is worth for a mechanism that was never measured:
    few when the references differ in their noise, at most `df`."""
    equal_p: float | None
    """How often references would differ as much in their noise if they had one alike (Bartlett's
    test, over those with three seeds or more); None with fewer than two of them."""
    mechanisms: tuple[MechanismNoise, ...]
    sources: Sources | None
    """None where no seeds of weights and order were crossed."""


def noise_floor(
    conditions: Conditions,
    split: Split = "validation",
    share: float = 1.0,
    rows: Sequence[Repeats] | None = None,
) -> Noise | None:
    """The noise measured under `conditions`; None when no reference has two seeds.

    rows: instead of those of the file. Stale ones are left out.
    """
    current = [row for row in current_repeats(conditions, rows) if row.share == share]
    groups = {row.mechanism: _accuracies(row, split) for row in current}
    groups = {name: found for name, found in groups.items() if len(found) > 1}
    if not groups:
        return None
    common = common_variance([(variance(g), len(g) - 1) for g in groups.values()])
    df = sum(len(g) - 1 for g in groups.values())
    return Noise(
        **conditions._asdict(),
        split=split,
        share=share,
        sd=math.sqrt(sum(variance(g) * (len(g) - 1) for g in groups.values()) / df),
        df=df,
        common_sd=math.sqrt(common.value),
        common_df=min(common.df, df),
        equal_p=_bartlett(groups.values()),
        mechanisms=tuple(
            MechanismNoise(name=name, sd=math.sqrt(variance(g)), num_seeds=len(g))
            for name, g in groups.items()
        ),
        sources=_sources(current) if split == "validation" else None,
    )


def _accuracies(row: Repeats, split: Split) -> list[float]:
    found = (getattr(training, split) for training in row.by_seed.values())
    return [accuracy for accuracy in found if accuracy is not None]


class Variance(NamedTuple):
    """A variance and what it is worth."""

    value: float
    df: float
    """Degrees of freedom; infinite when it is known."""


def common_variance(variances: Sequence[tuple[float, int]]) -> Variance:
    """What variances, each with its degrees of freedom, are drawn around, and how closely.

    Infinite degrees of freedom: they differ by no more than their own degrees of freedom explain.
    Smyth 2004, section 6.2.
    """
    from scipy.special import digamma, polygamma

    pooled = sum(value * df for value, df in variances) / sum(df for _, df in variances)
    if len(variances) < 2 or pooled == 0:
        return Variance(pooled, math.inf)
    least = 1e-5 * pooled  # a reference that answers alike in all seeds has no logarithm
    logs = [
        math.log(max(value, least)) - float(digamma(df / 2)) + math.log(df / 2)
        for value, df in variances
    ]
    explained = fmean(float(polygamma(1, df / 2)) for _, df in variances)
    spread = variance(logs) - explained
    if spread <= 0:
        return Variance(pooled, math.inf)
    df = 2 * _inverse_trigamma(spread)
    return Variance(math.exp(fmean(logs) + float(digamma(df / 2)) - math.log(df / 2)), df)


def _inverse_trigamma(value: float) -> float:
    """The x > 0 whose trigamma is `value`."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    low, high = 1 / (1 + value), 1 + 2 / value  # trigamma(x) lies between 1/x and 1/x + 1/x^2
    return float(brentq(lambda x: float(polygamma(1, x)) - value, low / 2, high))


def _bartlett(groups: Iterable[Sequence[float]]) -> float | None:
    from scipy.stats import bartlett

    usable = [group for group in groups if len(group) > 2 and variance(group) > 0]
    return float(bartlett(*usable).pvalue) if len(usable) > 1 else None


def _sources(rows: Iterable[Repeats]) -> Sources | None:
    """From the references whose seeds of weights and order were crossed, each in a square."""
    tables = [table for row in rows if (table := _crossed(row.trainings))]
    if not tables:
        return None
    return split_sources(tables)


def _crossed(trainings: Iterable[Training]) -> list[list[float]] | None:
    """The largest full square of seeds, from 0: a row for each seed of the weights."""
    known: Mapping[tuple[int, int], float] = {
        (t.seed, t.order_seed): t.validation for t in trainings
    }
    size = 0
    while all((i, size) in known and (size, i) in known for i in range(size + 1)):
        size += 1
    if size < 2:
        return None
    return [[known[i, j] for j in range(size)] for i in range(size)]


def split_sources(tables: Sequence[Sequence[Sequence[float]]]) -> Sources:
    """The shares of the variance, from squares of accuracies, [weights][order], one a reference.

    Analysis of variance with two crossed random factors and one training a cell, the sums of
    squares pooled over references. A component that comes out negative is 0.
    """
    from scipy.special import fdtrc

    size = len(tables[0])
    df_main, df_both = len(tables) * (size - 1), len(tables) * (size - 1) ** 2
    weights = sum(map(_between_rows, tables)) / df_main
    order = sum(_between_rows(list(zip(*table, strict=True))) for table in tables) / df_main
    both = (sum(map(_total, tables)) - df_main * (weights + order)) / df_both
    parts = [max(0.0, weights - both) / size, max(0.0, order - both) / size, both]
    whole = sum(parts)
    return Sources(
        weights=parts[0] / whole,
        order=parts[1] / whole,
        both=parts[2] / whole,
        weights_p=float(fdtrc(df_main, df_both, weights / both)),
        order_p=float(fdtrc(df_main, df_both, order / both)),
        num_mechanisms=len(tables),
        num_trainings=len(tables) * size * size,
    )


def _between_rows(table: Sequence[Sequence[float]]) -> float:
    """Sum of squares of the rows' means."""
    return len(table) * (len(table) - 1) * variance([fmean(row) for row in table])


def _total(table: Sequence[Sequence[float]]) -> float:
    """Sum of squares around the mean of all."""
    cells = [cell for row in table for cell in row]
    return (len(cells) - 1) * variance(cells)
