"""AdamW over two groups of parameters: those that decay and those that do not.

The worker makes it for the training, the judge for its replay (`trainers.replay`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lra_design.records import TrainConfig
from trainers.schedule import learning_rate

MARK = "no_weight_decay"
"""The attribute by which a mechanism takes one of its parameters out of the decay."""


def is_marked(parameter: nn.Parameter) -> bool:
    """Whether a mechanism took it out of the decay."""
    return bool(getattr(parameter, MARK, False))


def make_optimizer(parameters: Sequence[nn.Parameter], config: TrainConfig) -> torch.optim.AdamW:
    """AdamW with weight decay for matrices and larger, as far as they are not marked; none for
    norms, biases, other vectors."""
    decay = [p for p in parameters if p.ndim >= 2 and not is_marked(p)]
    others = [p for p in parameters if p.ndim < 2 or is_marked(p)]
    return torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=not any(p.is_complex() for p in parameters),
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, step: int, config: TrainConfig) -> None:
    """Give all groups the rate of step `step`."""
    rate = learning_rate(step, config)
    for group in optimizer.param_groups:
        group["lr"] = rate
