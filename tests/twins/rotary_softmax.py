"""Naive twin of `mechanisms/rotary_softmax.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (Case(), Case(lengths=(19, 5), H=2, K=7), Case(lengths=(9,), H=2, K=1))


def rotation(t: int, K: int) -> Tensor:
    """R_t, `(K, K)`."""
    matrix_KK = torch.eye(K, dtype=torch.float64)
    for i in range(K // 2):
        angle = t * 10_000.0 ** (-2 * i / K)
        pair = slice(2 * i, 2 * i + 2)
        cos, sin = math.cos(angle), math.sin(angle)
        matrix_KK[pair, pair] = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    return matrix_KK


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    L, _, K = q_LHK.shape
    rows = []
    for t in range(L):
        scores_SH = torch.stack(
            [
                ((q_LHK[t] @ rotation(t, K).T) * (k_LHK[s] @ rotation(s, K).T)).sum(-1)
                for s in range(t + 1 if mechanism.config.causal else L)
            ]
        )
        weights_SH = (scores_SH / math.sqrt(K)).softmax(0)
        rows.append((weights_SH[:, :, None] * v_LHK[: len(weights_SH)]).sum(0).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
