"""Naive twin of `mechanisms/longformer.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3, hyperparameters={"window": 7}),
    Case(lengths=(149, 2), H=3, K=2, hyperparameters={"window": 5, "dilation": 3}),
    Case(lengths=(5, 3), H=1, K=2, hyperparameters={"dilation": 2}),
)
REFUSED = (
    ({"window": 1}, "window must be at least 2, found 1"),
    ({"dilation": 0}, "dilation must be at least 1, found 0"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, window: int = 512, dilation: int = 1) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    L, H, K = q_LHK.shape

    def sees(t: int, s: int, d: int) -> bool:
        if mechanism.config.causal:
            return (t - s) % d == 0 and 0 <= t - s < window * d
        return t == 0 or s == 0 or ((t - s) % d == 0 and abs(t - s) <= window // 2 * d)

    rows = []
    for t in range(L):
        for h in range(H):
            seen = [s for s in range(L) if sees(t, s, 1 if h < (H + 1) // 2 else dilation)]
            weights_S = (k_LHK[seen, h] @ q_LHK[t, h] / K**0.5).softmax(0)
            rows.append(weights_S @ v_LHK[seen, h])
    return torch.stack(rows).reshape(L, H * K) @ mechanism.out.weight.T
