"""Naive twin of `mechanisms/mean.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (Case(),)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    causal = mechanism.config.causal
    rows = [x_LD[: t + 1 if causal else None].mean(0) for t in range(len(x_LD))]
    return torch.stack(rows) @ mechanism.out.weight.T
