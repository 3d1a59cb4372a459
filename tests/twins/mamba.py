"""Naive twin of `mechanisms/mamba.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(64,), H=2, K=4, hyperparameters={"state_size": 3, "expand": 2}),
)
REFUSED = (
    ({"state_size": 0}, "state_size must be at least 1"),
    ({"expand": 0}, "expand must be at least 1"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, state_size: int = 16, expand: int = 1) -> Tensor:
    u_LE, z_LE = (x_LD @ mechanism.into.weight.T).chunk(2, dim=1)
    taps_EW = mechanism.conv.weight[:, 0]
    rank = mechanism.delta.weight.shape[1]
    h_EN = x_LD.new_zeros(expand * x_LD.shape[1], state_size)
    rows = []
    for t in range(len(x_LD)):
        lags = range(min(t + 1, taps_EW.shape[1]))
        u_E = sum(taps_EW[:, -1 - lag] * u_LE[t - lag] for lag in lags) + mechanism.conv.bias
        u_E = F.silu(u_E)
        r_R, b_N, c_N = (mechanism.select.weight @ u_E).split([rank, state_size, state_size])
        delta_E = F.softplus(mechanism.delta.weight @ r_R + mechanism.delta.bias)
        decay_EN = torch.exp(delta_E[:, None] * -mechanism.log_a_EN.exp())
        h_EN = decay_EN * h_EN + (delta_E * u_E)[:, None] * b_N
        y_E = h_EN @ c_N + mechanism.skip_E * u_E
        rows.append(F.silu(z_LE[t]) * y_E)
    return torch.stack(rows) @ mechanism.out.weight.T
