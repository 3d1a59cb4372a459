"""How a mechanism behaves, as a cell of a grid: what it costs, and how far back it reads.

Both come from what an agent is told anyway. The cost is the exponent of the counted FLOPs in the
length, from the certificate: about 1 for a recurrence, about 2 for full attention. The reach is the
farthest distance at which a probe shows that the trained mechanism reads back so far: on
reach-probe by the accuracies at each distance, on delay-probe at its lag. An accuracy shows it when
it is above the middle of chance and 1, as in `tasks.probes.reach`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lra_design.records import Feedback, Score
from tasks.probes import delay, probe_of, reach

EXPONENT_STEP = 0.25
"""Width of a cell in the exponent. Reach has a cell for each power of two."""


class Cell(NamedTuple):
    """A kind of behaviour. None where nothing was measured, which is a kind of its own."""

    exponent: int | None
    """In steps of `EXPONENT_STEP`, rounded to the nearest."""
    reach: int | None
    """0: nothing is read back; n: from 2**(n - 1) positions on, below 2**n."""


def cell_of(feedback: Feedback) -> Cell:
    """The cell that a candidate with this feedback belongs to."""
    exponent, farthest = cost_exponent(feedback), reach_in_positions(feedback)
    return Cell(
        exponent=None if exponent is None else round(exponent / EXPONENT_STEP),
        reach=None if farthest is None else farthest.bit_length(),
    )


def cost_exponent(feedback: Feedback) -> float | None:
    """The power of the length with which FLOPs grow; None when they could not be counted."""
    scaling = feedback.report.scaling
    exponents = scaling.exponents if scaling is not None else ()
    values = [exponent.value for exponent in exponents if exponent.quantity == "flops"]
    return next((value for value in values if math.isfinite(value)), None)


def reach_in_positions(feedback: Feedback) -> int | None:
    """The farthest distance that a probe shows; 0 when none does; None without such a probe."""
    shown = [found for score in feedback.scores if (found := _shown(score)) is not None]
    return max(shown, default=None)


def _shown(score: Score) -> int | None:
    probe = probe_of(score.task)
    if probe is reach.PROBE and score.groups:
        by_distance = {group.group: group.accuracy for group in score.groups}
        return reach.reach(by_distance, 1 / reach.NUM_VALUES) or 0
    if probe is delay.PROBE and (lag := _lag(score.task)) is not None:
        return reach.reach({lag: score.accuracy}, 1 / delay.NUM_SYMBOLS) or 0
    return None


def _lag(task: str) -> int | None:
    """The level in the id of a delay probe."""
    if task == delay.PROBE.id:
        return delay.PROBE.default
    level = task.removeprefix(f"{delay.PROBE.id}-")
    return int(level) if level.isdecimal() else None
