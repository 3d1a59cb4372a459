"""Naive twin of `mechanisms/lru.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), H=1, K=3, hyperparameters={"state_size": 5, "r_min": 0.9}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"state_size": 1, "max_phase": 0.3}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"state_size": 0}, "state_size must be at least 1, found 0"),
    ({"r_min": 1.0}, r"r_min must lie in \[0, r_max\), r_max <= 1, found 1.0 and 1.0"),
    ({"r_max": 1.1}, r"r_min must lie in \[0, r_max\), r_max <= 1, found 0.0 and 1.1"),
    ({"max_phase": 7.0}, r"max_phase must lie in \(0, 2 pi\], found 7.0"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, **hyperparameters: object) -> Tensor:
    lambda_N = torch.exp(-mechanism.nu_N.exp() + 1j * mechanism.theta_N.exp())
    gamma_N = mechanism.log_gamma_N.exp()
    b_ND = (mechanism.b_DNC[..., 0] + 1j * mechanism.b_DNC[..., 1]).T
    c_DN = (mechanism.c_NCD[:, 0] - 1j * mechanism.c_NCD[:, 1]).T
    state_N, rows = torch.zeros_like(lambda_N), []
    for x_D in x_LD:
        state_N = lambda_N * state_N + gamma_N * (b_ND @ x_D.to(b_ND.dtype))
        rows.append((c_DN @ state_N).real + mechanism.skip_D * x_D)
    value_LD, gate_LD = (F.gelu(torch.stack(rows)) @ mechanism.out.weight.T).chunk(2, dim=1)
    return value_LD * gate_LD.sigmoid()
