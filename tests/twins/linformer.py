"""Naive twin of `mechanisms/linformer.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3, max_seq_len=150, hyperparameters={"projected_len": 7}),
    Case(lengths=(1,), H=2, K=3),
)
REFUSED = (({"projected_len": 0}, "projected_len must be at least 1, found 0"),)


def forward(mechanism: Mechanism, x_LD: Tensor, projected_len: int = 256) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    E_PL = mechanism.projection_PL
    assert len(E_PL) == min(projected_len, mechanism.config.max_seq_len)
    k_PHK, v_PHK = (
        torch.stack([sum(E_PL[p, s] * part[s] for s in range(len(x_LD))) for p in range(len(E_PL))])
        for part in (k_LHK, v_LHK)
    )
    rows = []
    for q_HK in q_LHK:
        weights_PH = ((q_HK * k_PHK).sum(-1) / math.sqrt(q_HK.shape[1])).softmax(0)
        rows.append((weights_PH[:, :, None] * v_PHK).sum(0).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
