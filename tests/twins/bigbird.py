"""Naive twin of `mechanisms/bigbird.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 60), H=2, K=3, hyperparameters={"block_size": 8}),
    Case(lengths=(37, 12), H=2, K=3, max_seq_len=64, hyperparameters={"block_size": 4}),
    Case(lengths=(23, 1), H=1, K=3, hyperparameters={"block_size": 3, "num_random_blocks": 1}),
)
REFUSED = (
    ({"block_size": 0}, "block_size must be at least 1, found 0"),
    ({"num_random_blocks": -1}, "num_random_blocks must be at least 0, found -1"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, block_size: int = 64, num_random_blocks: int = 3
) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    L, H, K = q_LHK.shape
    last = (L - 1) // block_size

    def blocks_seen(c: int, h: int) -> set[int]:
        if c in (0, last):
            return set(range(last + 1))
        rest = set(range(1, last)) - {c - 1, c, c + 1}
        order = mechanism.order_HCC[h, c].tolist()
        drawn = sorted(rest, key=lambda other: -order[other])[:num_random_blocks]
        return {0, last, c - 1, c, c + 1, *drawn}

    rows = []
    for t in range(L):
        for h in range(H):
            blocks = blocks_seen(t // block_size, h)
            seen = [s for s in range(L) if s // block_size in blocks]
            weights_S = (k_LHK[seen, h] @ q_LHK[t, h] / K**0.5).softmax(0)
            rows.append(weights_S @ v_LHK[seen, h])
    return torch.stack(rows).reshape(L, H * K) @ mechanism.out.weight.T
