"""Naive twin of `mechanisms/linear.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism
from mechanisms.linear import CHUNK, EPSILON

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(2 * CHUNK,), H=2, K=3),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    q_LHK, k_LHK = F.elu(q_LHK) + 1, F.elu(k_LHK) + 1
    rows = []
    for t in range(len(x_LD)):
        seen = slice(0, t + 1) if mechanism.config.causal else slice(None)
        weights_SH = (q_LHK[t] * k_LHK[seen]).sum(-1)
        sum_HK = (weights_SH[:, :, None] * v_LHK[seen]).sum(0)
        rows.append((sum_HK / (weights_SH.sum(0)[:, None] + EPSILON)).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
