"""What a shortcut through a ListOps tree scores: how deep must a mechanism read for its accuracy?

A shortcut evaluates the first `levels` levels of operators and takes every operator below them for
the digit in `GUESS`, whatever its arguments. With no level it reads the root operator alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

GUESS = {1: 0, 2: 9, 3: 4, 4: 4}
"""Token id of an operator -> the digit it is taken for: the most frequent value of MIN, MAX and
MED; for SM, whose values are uniform, the middle of the digits."""

LADDER = (0.361, 0.598, 0.745, 0.836, 0.898, 0.938, 0.961, 0.976, 0.985, 1.0)
"""Accuracy on `listops-v1` of the shortcuts with 0, 1, 2, ... levels, over 20,000 examples, each
with a standard error of at most 0.0035."""

MINI_LADDER = (0.212, 0.438, 1.0)
"""The same of `listops-mini`, over 20,000 examples; its operators are nested two deep."""

LADDERS = {
    "listops-v1": LADDER,
    "listops-release-v1": LADDER,
    "listops-mini": MINI_LADDER,
}
"""By task id."""

_CLOSE, _ZERO = 5, 6


def equivalent_depth(ladder: Sequence[float], accuracy: float, chance: float) -> float:
    """How many levels a shortcut has to evaluate for this accuracy; in proportion between rungs.

    0 is the root operator alone, -1 the most frequent class or less. ladder: accuracies with 0, 1,
    2, ... levels. That a mechanism reads as a shortcut does is not shown by an equal accuracy.
    """
    rungs = (chance, *ladder)
    if accuracy <= chance:
        return -1.0
    for level, (low, high) in enumerate(itertools.pairwise(rungs)):
        if accuracy <= high:
            return level - 1 + (accuracy - low) / (high - low)
    return float(len(ladder) - 1)


def shortcut_answer(tokens: Sequence[int], levels: int) -> int:
    """The digit a shortcut answers for one example; 9 levels evaluate all of `listops-v1`."""
    open_lists: list[tuple[int, list[int]]] = []
    for token in tokens:
        if token in GUESS:
            open_lists.append((token, []))
            continue
        value = token - _ZERO
        if token == _CLOSE:
            operator, values = open_lists.pop()
            value = _apply(operator, values) if len(open_lists) < levels else GUESS[operator]
        if not open_lists:
            return value
        open_lists[-1][1].append(value)
    raise ValueError("expected a complete ListOps expression, found its end inside a list")


def _apply(operator: int, values: list[int]) -> int:
    if operator == 1:
        return min(values)
    if operator == 2:
        return max(values)
    if operator == 4:
        return sum(values) % 10
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) // 2
