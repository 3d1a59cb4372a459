"""Naive twin of `mechanisms/identity.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (Case(), Case(lengths=(1,), H=1, K=1))


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    return torch.stack([mechanism.out.weight @ x_D for x_D in x_LD])
