"""Cheaper trainings of the same recipe: fewer steps, each with a schedule of its own.

A short training is no full one that was cut off: its learning rate rises and falls within its own
steps, so that what it reaches says the most about what the full one would.
"""

from __future__ import annotations

import dataclasses

from lra_design.records import TrainConfig


def shortened(train: TrainConfig, share: float) -> TrainConfig:
    """The recipe in `share` of its steps: its warm-up, its decay and its evaluations in proportion.

    share: in (0, 1]; at 1 the recipe itself. Raises ValueError for any other.
    """
    if not 0 < share <= 1:
        raise ValueError(f"expected a share of the steps in (0, 1], found {share}")
    if share == 1:
        return train
    num_steps = max(1, round(share * train.num_steps))
    every = max(1, round(share * train.evaluate_every))
    return dataclasses.replace(train, num_steps=num_steps, evaluate_every=min(every, num_steps))
