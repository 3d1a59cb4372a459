"""Naive twin of `mechanisms/attention_free.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 41), H=1, K=5, hyperparameters={"bias_rank": 3}),
    Case(lengths=(64, 1), H=1, K=5, hyperparameters={"variant": "local", "window": 7}),
    Case(lengths=(67, 30), H=1, K=5, hyperparameters={"variant": "simple"}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"variant": "fast"}, 'variant must be one of .*, found "fast"'),
    ({"bias_rank": 0}, "bias_rank must be at least 1, found 0"),
    ({"window": 0}, "window must be at least 1, found 0"),
)


def forward(
    mechanism: Mechanism,
    x_LD: Tensor,
    variant: str = "full",
    bias_rank: int = 128,
    window: int = 32,
) -> Tensor:
    q_LD, k_LD, v_LD = (x_LD @ mechanism.qkv.weight.T).tensor_split(3, dim=1)
    L = len(x_LD)

    def w(t: int, s: int) -> Tensor:
        if variant == "simple" or (variant == "local" and abs(t - s) >= window):
            return torch.tensor(0.0)
        return (mechanism.left_LR[t] * mechanism.right_LR[s]).sum()

    rows = []
    for t in range(L):
        seen = range(t + 1 if mechanism.config.causal else L)
        weights_SD = torch.stack([k_LD[s] + w(t, s) for s in seen]).softmax(0)
        rows.append(q_LD[t].sigmoid() * (weights_SD * v_LD[seen]).sum(0))
    return torch.stack(rows) @ mechanism.out.weight.T
