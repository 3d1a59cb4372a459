"""Naive twin of `mechanisms/performer.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism
from mechanisms.performer import CHUNK, EPSILON

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3, hyperparameters={"num_features": 7}),
    Case(lengths=(2 * CHUNK,), H=1, K=5, hyperparameters={"num_features": 16}),
)
REFUSED = (({"num_features": 0}, "num_features must be at least 1, found 0"),)


def forward(mechanism: Mechanism, x_LD: Tensor, num_features: int = 256) -> Tensor:
    q_LHK, k_LHK, v_LHK = (part / part.shape[2] ** 0.25 for part in project(mechanism, x_LD))
    v_LHK = v_LHK * v_LHK.shape[2] ** 0.25
    q_LHM, k_LHM = (exponents(x_LHK, mechanism.w_KM) for x_LHK in (q_LHK, k_LHK))
    q_LHM = (q_LHM - q_LHM.amax(-1, keepdim=True)).exp() + EPSILON
    k_LHM = k_LHM.exp() + EPSILON
    rows = []
    for t in range(len(x_LD)):
        seen = slice(0, t + 1) if mechanism.config.causal else slice(None)
        weights_SH = (q_LHM[t] * k_LHM[seen]).sum(-1) / num_features
        sum_HK = (weights_SH[:, :, None] * v_LHK[seen]).sum(0)
        rows.append((sum_HK / weights_SH.sum(0)[:, None]).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T


def exponents(x_LHK: Tensor, w_KM: Tensor) -> Tensor:
    return x_LHK @ w_KM - x_LHK.square().sum(-1, keepdim=True) / 2
