"""Naive twin of `mechanisms/skyformer.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67, 2), H=2, K=3, hyperparameters={"num_landmarks": 8}),
    Case(lengths=(40, 31), H=1, K=3, hyperparameters={"form": "exact"}),
)
REFUSED = (
    ({"form": "softmax"}, 'form must be "nystrom" or "exact", found "softmax"'),
    ({"num_landmarks": 7}, "num_landmarks must be even and at least 2, found 7"),
)

BFLOAT16_TOLERANCE = 1e-1  # the weights are not normalised: outputs reach 13


def forward(
    mechanism: Mechanism, x_LD: Tensor, form: str = "nystrom", num_landmarks: int = 128
) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    shrink = q_LHK.shape[2] ** -0.25
    L = len(x_LD)
    m = min(num_landmarks // 2, L)
    queries_M, keys_M = (
        [math.floor((i + shares_M[i].item() / 2**20) * L / m) for i in range(m)]
        for shares_M in mechanism.shares_2M
    )
    heads = []
    for h in range(mechanism.config.num_heads):
        q_LK, k_LK, v_LK = shrink * q_LHK[:, h], shrink * k_LHK[:, h], v_LHK[:, h]
        if form == "exact":
            heads.append(kappa(q_LK, k_LK) @ v_LK)
            continue
        s_MK = torch.cat([q_LK[queries_M], k_LK[keys_M]])
        inverse_MM = inverse(kappa(s_MK, s_MK) + 0.1 * torch.eye(2 * m, dtype=x_LD.dtype))
        heads.append(kappa(q_LK, s_MK) @ inverse_MM @ kappa(s_MK, k_LK) @ v_LK)
    return torch.cat(heads, dim=1) @ mechanism.out.weight.T


def kappa(x_LK: Tensor, y_SK: Tensor) -> Tensor:
    return (-(x_LK[:, None] - y_SK).square().sum(-1) / 2).exp()


def inverse(G: Tensor) -> Tensor:
    """What six steps of the iteration reach."""
    I, R = torch.eye(len(G), dtype=G.dtype), torch.diag(G.sum(1) ** -0.5)
    N = R @ G @ R
    Z = N.T / N.sum(0).max()
    for _ in range(6):
        Z = Z @ (13 * I - N @ Z @ (15 * I - N @ Z @ (7 * I - N @ Z))) / 4
    return R @ Z @ R
