"""Naive twin of `mechanisms/gla.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.gla import EPSILON

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(64,), H=2, K=4, hyperparameters={"rank": 3, "temperature": 1.0}),
)
REFUSED = (
    ({"rank": 0}, "rank must be at least 1"),
    ({"temperature": 0.0}, "temperature must be positive"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, rank: int = 16, temperature: float = 16.0
) -> Tensor:
    num_heads = mechanism.config.num_heads
    low, high = mechanism.forget
    s_HKV = x_LD.new_zeros(1)
    rows = []
    for x_D in x_LD:
        q_HK = (mechanism.query.weight @ x_D).reshape(num_heads, -1)
        k_HK = (mechanism.key.weight @ x_D).reshape(num_heads, -1)
        v_HV = (mechanism.value.weight @ x_D).reshape(num_heads, -1)
        alpha_HK = (high(low(x_D)).sigmoid() ** (1 / temperature)).reshape(num_heads, -1)
        s_HKV = alpha_HK[:, :, None] * s_HKV + k_HK[:, :, None] * v_HV[:, None, :]
        y_HV = torch.einsum("HK,HKV->HV", q_HK, s_HKV) / math.sqrt(q_HK.shape[1])
        y_HV = y_HV / (y_HV.square().mean(-1, keepdim=True) + EPSILON).sqrt()
        y_D = (y_HV * mechanism.norm_V).flatten()
        rows.append(F.silu(mechanism.gate.weight @ x_D) * y_D)
    return torch.stack(rows) @ mechanism.out.weight.T
