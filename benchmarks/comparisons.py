"""How often a comparison finds a difference that is not there, and one that is: by simulation.

    python benchmarks/comparisons.py [--replicates N] [--references N] [--seeds N]

Two mechanisms are trained with n seeds each; the noise of each is drawn around a common one. Before
that a shelf of references is trained and the noise floor estimated from it, anew each time, so that
what is not known of the floor counts too. Compared are the paired t interval of the differences
alone, which `lra-design compare` uses from five seeds on, that of the floor alone, and the
moderated one, which it uses below.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from leaderboards.comparison import t_quantile
from leaderboards.noise import Variance, common_variance

WORLDS = {
    "all alike": (math.inf, 1.0),
    "they differ (10 df)": (10.0, 1.0),
    "they differ much (4 df)": (4.0, 1.0),
    "alike, one of the two twice as noisy": (math.inf, 2.0),
}
"""Degrees of freedom of the variances around the common one; factor on the one's deviation."""
NUM_SEEDS = (1, 2, 3, 5, 10)
EFFECT = 2.0
"""The difference to be found, in standard deviations of one training."""


class Shares(NamedTuple):
    """How often 0 was left out of the interval, by what the interval is made of."""

    own: float
    floor: float
    moderated: float


def variances(generator: np.random.Generator, df: float, size: int) -> np.ndarray:
    """Around 1, as scaled inverse chi-squares with so many degrees of freedom."""
    return np.ones(size) if math.isinf(df) else df / generator.chisquare(df, size)


def estimated_floor(
    generator: np.random.Generator, df: float, num_references: int, num_seeds: int
) -> tuple[Variance, Variance]:
    """The pooled variance of one training and the common one, from a shelf that is trained."""
    scale = np.sqrt(variances(generator, df, num_references))
    accuracies = generator.normal(size=(num_seeds, num_references)) * scale
    found = accuracies.var(axis=0, ddof=1)
    known = num_references * (num_seeds - 1)
    common = common_variance([(float(value), num_seeds - 1) for value in found])
    return Variance(float(found.mean()), known), Variance(common.value, min(common.df, known))


def found_shares(
    effect: float,
    num_seeds: int,
    world: tuple[float, float],
    shelf: tuple[int, int],
    replicates: int,
) -> Shares:
    """How often a true difference of `effect` is found with `num_seeds` seeds of each.

    shelf: number of references and of their seeds.
    """
    df, factor = world
    generator = np.random.default_rng(0)
    hits = np.zeros(3)
    for _ in range(replicates):
        pooled, common = estimated_floor(generator, df, *shelf)
        scale = np.sqrt(variances(generator, df, 2)) * (factor, 1.0)
        difference = effect + generator.normal(size=(num_seeds, 2)) @ (scale * (1, -1))
        own = Variance(float(difference.var(ddof=1)) if num_seeds > 1 else 0.0, num_seeds - 1)
        both = common.df + own.df
        moderated = Variance((common.df * 2 * common.value + own.df * own.value) / both, both)
        kinds = (own, Variance(2 * pooled.value, pooled.df), moderated)
        hits += [_excludes_zero(float(difference.mean()), kind, num_seeds) for kind in kinds]
    return Shares(*(hits / replicates))


def _excludes_zero(mean: float, spread: Variance, num_seeds: int) -> bool:
    if spread.df == 0:
        return False
    return abs(mean) > t_quantile(spread.df) * math.sqrt(spread.value / num_seeds)


def table(shelf: tuple[int, int], replicates: int) -> Iterator[str]:
    yield f"{'':38s}seeds   not there: own floor both   there: own floor both"
    for name, world in WORLDS.items():
        for num_seeds in NUM_SEEDS:
            wrong = found_shares(0.0, num_seeds, world, shelf, replicates)
            right = found_shares(EFFECT, num_seeds, world, shelf, replicates)
            cells = "  ".join(f"{share:6.1%}" for share in (*wrong, *right))
            yield f"{name:38s}{num_seeds:5d}   {cells}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--replicates", type=int, default=4000)
    parser.add_argument("--references", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    for line in table((asked.references, asked.seeds), asked.replicates):
        print(line, flush=True)
