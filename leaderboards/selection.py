"""The best of many looks better than it is: by how much at most.

Of n candidates that are all equally good the best one's accuracy is the largest of n draws of the
noise. Its expectation, in standard deviations, is the first normal order statistic (0.56 for 2,
1.16 for 5, 1.54 for 10, 2.51 for 100). Where the candidates do differ, less of the lead is chance:
what is taken off is the most that it can be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from leaderboards.noise import Noise, noise_floor
from leaderboards.repeats import Conditions
from lra_design.records import Run, record

REACH = 12.0
"""Standard deviations beyond which the normal distribution weighs nothing in double precision."""


@record
class Corrected:
    """The accuracy of a best of many, as measured and without what choosing it can have added."""

    measured: float
    """In [0, 1]."""
    num_choices: int
    """From how many it was chosen by this very accuracy."""
    bias: float
    """What choosing adds in the mean when all were equally good: the most that it can."""

    @property
    def corrected(self) -> float:
        """Never below 0."""
        return max(0.0, self.measured - self.bias)


def expected_maximum(num_draws: int) -> float:
    """The mean of the largest of some independent standard normal draws. Raises ValueError.

    By numerical integration of x n phi(x) Phi(x)^(n - 1).
    """
    if num_draws < 1:
        raise ValueError(f"expected at least 1 draw, found {num_draws}")
    from scipy.integrate import quad

    normal = NormalDist()

    def integrand(x: float) -> float:
        return x * num_draws * normal.pdf(x) * normal.cdf(x) ** (num_draws - 1)

    peak = normal.inv_cdf(1 - 0.5 / num_draws)
    parts = ((-REACH, 0.0), (0.0, peak), (peak, peak + REACH))
    return math.fsum(quad(integrand, low, high)[0] for low, high in parts if low < high)


def selection_bias(num_choices: int, noise: Noise) -> float:
    """What choosing the best of `num_choices` by one training each adds at most, in [0, 1]."""
    return noise.sd * expected_maximum(num_choices)


def selection_bias_points(runs: Sequence[Run]) -> float | None:
    """`selection_bias`, in percentage points, of a mechanism with these runs: it was chosen from
    its agent's attempts, from the trials of its study, or both.

    None when it was not chosen, or no noise floor is measured; that of the `fixed` setting is
    taken, the only one there is. What it is added to is the validation accuracy that chose: a mean
    over fresh seeds has none of it.
    """
    run = max(runs, key=lambda run: run.num_attempts)
    trials = run.tuning.count("completed") + run.tuning.count("pruned") if run.tuning else 1
    num_choices = run.num_attempts * max(1, trials)
    if num_choices == 1:
        return None
    noise = noise_floor(Conditions(run.task, run.scale, "fixed", run.mode))
    return 100 * selection_bias(num_choices, noise) if noise else None


def correct(measured: float, num_choices: int, noise: Noise) -> Corrected:
    """The accuracy that chose the best of `num_choices`, and what it is without the choosing."""
    bias = selection_bias(num_choices, noise)
    return Corrected(measured=measured, num_choices=num_choices, bias=bias)
