"""Naive twin of `mechanisms/min_gru.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(64,), H=1, K=5, hyperparameters={"expand": 1.0}),
)
REFUSED = (({"expand": 0.5}, "expand must be at least 1"),)


def forward(mechanism: Mechanism, x_LD: Tensor, expand: float = 1.5) -> Tensor:
    h_E = x_LD.new_zeros(int(expand * x_LD.shape[1]))
    rows = []
    for x_D in x_LD:
        z_E, c_E = (mechanism.into.weight @ x_D).chunk(2)
        candidate_E = torch.where(c_E >= 0, c_E + 0.5, c_E.sigmoid())
        h_E = (1 - z_E.sigmoid()) * h_E + z_E.sigmoid() * candidate_E
        rows.append(mechanism.out.weight @ h_E)
    return torch.stack(rows)
