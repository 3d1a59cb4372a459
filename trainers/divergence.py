"""How a training that leads nowhere is told from its curve, and what it is called.

    not finite        the loss, the norm of the gradient or the logits of an evaluation were no
                      finite numbers; it ended there
    loss spike        between two evaluations the loss was half again that of guessing, after it
                      had been below, and the accuracy fell back to chance; it ended there
    stuck at chance   it came to its end and was no better than chance at any evaluation

It is a note on the run, which keeps the weights of its best evaluation, or the initial ones where
it had come to none. Losses and norms are what the candidate's process says: one that lies about
them ends its own training early. Accuracies are the judge's.
"""

from __future__ import annotations

import math

from lra_design.records import Divergence
from trainers.accuracy import LabelledSplit, chance_bound, most_frequent
from trainers.curve import Curve

SPIKE_RATIO = 1.5
"""Of the loss of a uniform guess. Plateaus lie at the guess, and batches differ by less."""


def spiked(curve: Curve, num_classes: int, bound: float) -> bool:
    """Whether the loss went up to stay up to the latest evaluation; bound: see `guess_bound`."""
    level = SPIKE_RATIO * math.log(num_classes)
    if not curve.points or curve.points[-1].loss <= level:
        return False
    came_down = any(point.loss <= level for point in curve.points)
    return came_down and curve.points[-1].accuracy <= bound


def end_of(curve: Curve, bound: float) -> Divergence | None:
    """What a training that took all its steps is called."""
    stuck = curve.best is None or curve.best.accuracy <= bound
    return "stuck at chance" if stuck else None


def guess_bound(split: LabelledSplit) -> float:
    """The accuracy on a split that guessing exceeds once in a thousand times at most."""
    return chance_bound(most_frequent(split), int((split.labels >= 0).sum()))
