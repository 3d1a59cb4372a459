"""The learning rate of each step: a linear rise, then half a cosine or a line to 0."""

from __future__ import annotations

import math

from lra_design.records import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """The rate of step `step`, from 0: linear rise over the warm-up, then half a cosine or a line
    to 0."""
    num_warmup = max(1, round(config.warmup_fraction * config.num_steps))
    if step < num_warmup:
        return config.learning_rate * (step + 1) / num_warmup
    progress = (step - num_warmup) / max(1, config.num_steps - num_warmup)
    if config.schedule == "linear":
        return config.learning_rate * (1.0 - progress)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * progress))
