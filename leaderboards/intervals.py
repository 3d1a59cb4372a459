"""How sure an accuracy is, and how far it lies between chance and the human state of the art."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

LEVEL = 0.95
"""Coverage of every interval."""


def student_t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % interval of the mean of at least two accuracies, cut to [0, 1].

    Student's t with len(values) - 1 degrees of freedom: it covers what another draw of seeds would
    change, on this test split.
    """
    from scipy.special import stdtrit

    mean = fmean(values)
    quantile = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2))
    half = quantile * stdev(values) / math.sqrt(len(values))
    return max(0.0, mean - half), min(1.0, mean + half)


def wilson_interval(accuracy: float, num_examples: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share among independent examples.

    It covers what another draw of test examples would change, and says nothing about seeds. Where
    a task labels several positions of an example the positions are not independent, hence
    examples and not labels. (Wilson 1927, https://doi.org/10.1080/01621459.1927.10502953)
    """
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    weight = z * z / num_examples
    centre = (accuracy + weight / 2) / (1 + weight)
    half = (
        z
        / (1 + weight)
        * math.sqrt(accuracy * (1 - accuracy) / num_examples + weight / (4 * num_examples))
    )
    return max(0.0, centre - half), min(1.0, centre + half)


def normalised_score(accuracy: float, *, chance: float, sota: float, num_labels: int) -> float:
    """NS, not capped: (phi(a) - phi(chance)) / (phi(sota) - phi(chance)), phi(a) = -log10(1 - a).

    phi counts orders of magnitude of error, so that 0.98 -> 0.99 weighs as much as 0.80 -> 0.90.
    It is infinite at a = 1. A test split of `num_labels` labels cannot tell an error of 0 from one
    of half a label (the usual continuity correction), so accuracy is cut at 1 - 1 / (2 num_labels).
    """
    if not 0 <= chance < sota < 1:
        raise ValueError(f"expected 0 <= chance < sota < 1, found chance {chance} and sota {sota}")
    accuracy = min(accuracy, 1 - 1 / (2 * num_labels))
    return (_phi(accuracy) - _phi(chance)) / (_phi(sota) - _phi(chance))


def _phi(accuracy: float) -> float:
    return -math.log10(1 - accuracy)
