"""Naive twin of `mechanisms/mamba2.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.mamba2 import EPSILON

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(200,), H=2, K=4, hyperparameters={"state_size": 3, "expand": 2}),
)
REFUSED = (
    ({"state_size": 0}, "state_size must be at least 1"),
    ({"expand": 0}, "expand must be at least 1"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, state_size: int = 48, expand: int = 1) -> Tensor:
    num_heads, inner = mechanism.config.num_heads, expand * x_LD.shape[1]
    mixed = inner + 2 * state_size
    z_LE, mixed_LM, delta_LH = (x_LD @ mechanism.into.weight.T).split([inner, mixed, num_heads], 1)
    taps_MW = mechanism.conv.weight[:, 0]
    s_HNK = x_LD.new_zeros(num_heads, state_size, inner // num_heads)
    rows = []
    for t in range(len(x_LD)):
        lags = range(min(t + 1, taps_MW.shape[1]))
        mixed_M = sum(taps_MW[:, -1 - lag] * mixed_LM[t - lag] for lag in lags)
        mixed_M = F.silu(mixed_M + mechanism.conv.bias)
        u_E, b_N, c_N = mixed_M.split([inner, state_size, state_size])
        u_HK = u_E.reshape(num_heads, -1)
        delta_H = F.softplus(delta_LH[t] + mechanism.delta_bias_H)
        decay_H = torch.exp(-delta_H * mechanism.log_a_H.exp())
        add_HNK = delta_H[:, None, None] * b_N[None, :, None] * u_HK[:, None, :]
        s_HNK = decay_H[:, None, None] * s_HNK + add_HNK
        y_HK = torch.einsum("HNK,N->HK", s_HNK, c_N) + mechanism.skip_H[:, None] * u_HK
        y_E = F.silu(z_LE[t]) * y_HK.flatten()
        rows.append(mechanism.norm_E * y_E / (y_E.square().mean() + EPSILON).sqrt())
    return torch.stack(rows) @ mechanism.out.weight.T
