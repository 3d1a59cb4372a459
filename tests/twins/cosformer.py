"""Naive twin of `mechanisms/cosformer.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism
from mechanisms.cosformer import CHUNK, EPSILON

CASES = (
    Case(max_seq_len=50),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(2 * CHUNK,), H=2, K=3),
    Case(lengths=(1,), K=2),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    rows = []
    for t in range(len(x_LD)):
        seen = range(t + 1 if mechanism.config.causal else len(x_LD))
        distance_S = (t - torch.tensor(seen)).double() / mechanism.config.max_seq_len
        weights_SH = (q_LHK[t].relu() * k_LHK[seen].relu()).sum(-1)
        weights_SH = weights_SH * (math.pi / 2 * distance_S).cos()[:, None]
        sum_HK = (weights_SH[:, :, None] * v_LHK[seen]).sum(0)
        rows.append((sum_HK / weights_SH.sum(0)[:, None].clamp(min=EPSILON)).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
