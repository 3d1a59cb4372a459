"""Is one mechanism better than another? Only beyond the noise, over seeds that both had.

The accuracies of two mechanisms are compared seed by seed. From five seeds on the spread of their
differences is all that counts: Student's paired t, right whatever the noise of the two is. With
fewer it says little (two seeds: one degree of freedom), while the noise floor of the task says how
large the spread usually is. The two are then put together as the *moderated t* does (Smyth 2004,
https://doi.org/10.2202/1544-6115.1027): the variance is the mean of both, weighted by their degrees
of freedom, which add up. Where references differ much in their noise the floor counts for little.
A mechanism that is far noisier than any reference is so found better or worse too often, which is
why the floor is no longer used once the mechanism's own seeds will do; `benchmarks/comparisons.py`
simulates how often. Without a measured floor it is Student's paired t from two seeds on.

What this covers is another draw of seeds on the same split; other examples are no part of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Literal

from leaderboards.intervals import LEVEL
from leaderboards.noise import Noise, Variance
from lra_design.records import record

POWER = 0.8
"""How often a difference that is called visible is seen."""
OWN_SEEDS = 5
"""Common seeds from which on the mechanisms' own spread is enough."""
Verdict = Literal["better", "worse", "within noise", "too few seeds"]


@record
class Comparison:
    """How one mechanism stands against another, in accuracies in [0, 1]."""

    seeds: tuple[int, ...]
    """Those that both were trained with."""
    differences: tuple[float, ...]
    """One minus other, seed by seed."""
    mean: float | None
    """None without a common seed."""
    low: float | None
    """Lower end of the 95 % interval of the mean difference; None with too few seeds."""
    high: float | None
    verdict: Verdict
    """Of the one, against the other."""
    sd: float | None
    """Standard deviation of one difference that the interval is made with."""
    df: float | None
    """Its degrees of freedom."""
    floor_df: float
    """How many of them are the noise floor's; 0 where it is not used."""
    detectable: float | None
    """The smallest true difference that as many seeds show with a probability of 80 %."""


def compare(
    one: Mapping[int, float], other: Mapping[int, float], noise: Noise | None
) -> Comparison:
    """The accuracies of two mechanisms by seed, compared over the seeds that both have."""
    seeds = tuple(sorted(one.keys() & other.keys()))
    differences = tuple(one[seed] - other[seed] for seed in seeds)
    mean = fmean(differences) if differences else None
    floor = noise if len(seeds) < OWN_SEEDS else None
    spread = difference_variance(differences, floor)
    known = mean is not None and spread.df >= 1
    sd = math.sqrt(spread.value)
    half = t_quantile(spread.df) * sd / math.sqrt(len(seeds)) if known else None
    low, high = (mean - half, mean + half) if mean is not None and half is not None else (None,) * 2
    return Comparison(
        seeds=seeds,
        differences=differences,
        mean=mean,
        low=low,
        high=high,
        verdict=_verdict(low, high),
        sd=sd if known else None,
        df=spread.df if known else None,
        floor_df=floor.common_df if floor else 0.0,
        detectable=detectable_difference(spread, len(seeds)) if known else None,
    )


def _verdict(low: float | None, high: float | None) -> Verdict:
    if low is None or high is None:
        return "too few seeds"
    return "better" if low > 0 else "worse" if high < 0 else "within noise"


def difference_variance(differences: Sequence[float], noise: Noise | None) -> Variance:
    """The variance of one difference, from the differences and, where it is given, the floor.

    Two trainings that share a seed are taken to be no more alike than any two, which errs on the
    side of seeing no difference.
    """
    floor, floor_df = (2 * noise.common_sd**2, noise.common_df) if noise else (0.0, 0.0)
    own_df = max(0, len(differences) - 1)
    own = variance(differences) if own_df else 0.0
    df = floor_df + own_df
    return Variance((floor_df * floor + own_df * own) / df if df else 0.0, df)


def t_quantile(df: float) -> float:
    """How many standard errors the 95 % interval reaches to each side."""
    from scipy.special import stdtrit

    return float(stdtrit(df, (1 + LEVEL) / 2))


def detectable_difference(spread: Variance, num_seeds: int) -> float:
    """The true difference that so many seeds show with a probability of 80 %.

    spread: variance of one difference, with 1 degree of freedom at least. Shown means that the
    95 % interval leaves 0 out; by the noncentral t distribution.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr

    quantile = t_quantile(spread.df)

    def missed(effect: float) -> float:
        return float(nctdtr(spread.df, effect, quantile)) - (1 - POWER)

    standard_error = math.sqrt(spread.value / num_seeds)
    return standard_error * float(brentq(missed, 0.0, 2 * quantile + 2))


def planned_difference(noise: Noise, num_seeds: int) -> float:
    """The smallest difference that so many seeds of each would show, before any was trained."""
    floor_df = noise.common_df if num_seeds < OWN_SEEDS else 0.0
    return detectable_difference(
        Variance(2 * noise.common_sd**2, floor_df + num_seeds - 1), num_seeds
    )
