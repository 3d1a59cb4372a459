"""Naive twin of `mechanisms/h_transformer_1d.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(67, 32), H=1, K=3, hyperparameters={"block_size": 2}),
    Case(lengths=(131, 70), H=1, K=3),
    Case(lengths=(3, 1), H=2, K=2, hyperparameters={"block_size": 6}),
)
REFUSED = (
    ({"block_size": 5}, "block_size must be even and at least 2, found 5"),
    ({"block_size": 0}, "block_size must be even and at least 2, found 0"),
)


def meeting_level(t: int, s: int, block_size: int) -> int:
    """The lowest level at which the blocks of t and s are the same or neighbours."""
    level = 0
    while abs(t // (block_size << level) - s // (block_size << level)) > 1:
        level += 1
    return level


def cell(t: int, level: int, L: int) -> slice:
    """The positions that share a cell with t."""
    first = t >> level << level
    return slice(first, min(first + (1 << level), L))


def forward(mechanism: Mechanism, x_LD: Tensor, block_size: int = 16) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    L, causal = len(x_LD), mechanism.config.causal
    rows = []
    for t in range(L):
        scores = []
        for s in range(t + 1 if causal else L):
            level = meeting_level(t, s, block_size)
            cell_t, cell_s = cell(t, level, L), cell(s, level, L)
            q_HK = q_LHK[cell_t.start] if causal else q_LHK[cell_t].mean(0)
            scores.append((q_HK * k_LHK[cell_s].mean(0)).sum(-1) / math.sqrt(q_LHK.shape[2]))
        weights_SH = torch.stack(scores).softmax(0)
        rows.append((weights_SH[:, :, None] * v_LHK[: len(weights_SH)]).sum(0).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
