"""Naive twin of `mechanisms/reformer.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(83, 40), H=1, K=3, hyperparameters={"chunk_size": 8, "num_hashes": 2}),
    Case(lengths=(31, 2), H=2, K=3, hyperparameters={"chunk_size": 3, "num_hashes": 1}),
    # As few buckets as there can be, so that all have more members than the window.
    Case(lengths=(29,), H=1, K=2, max_seq_len=2, hyperparameters={"chunk_size": 2}),
)
REFUSED = (
    ({"chunk_size": 0}, "chunk_size must be at least 1, found 0"),
    ({"num_hashes": 0}, "num_hashes must be at least 1, found 0"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, chunk_size: int = 64, num_hashes: int = 4
) -> Tensor:
    L, H = len(x_LD), mechanism.config.num_heads
    q_LHK = (x_LD @ mechanism.query.weight.T).reshape(L, H, -1)
    v_LHK = (x_LD @ mechanism.value.weight.T).reshape(L, H, -1)
    k_LHK = q_LHK / (q_LHK.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    turned = [q_LHK @ rotation_KE for rotation_KE in mechanism.rotations_RKE]
    buckets = [torch.cat([part, -part], dim=2).argmax(2).tolist() for part in turned]
    rows = []
    for t in range(L):
        for h in range(H):
            seen: list[int] = []
            for bucket in buckets:
                mates = [s for s in range(L) if bucket[s][h] == bucket[t][h]]
                before = [s for s in mates if s < t][-chunk_size:]
                after = [s for s in mates if s > t][:chunk_size]
                seen += before + [t] + ([] if mechanism.config.causal else after)
            scores_S = k_LHK[seen, h] @ q_LHK[t, h] / q_LHK.shape[2] ** 0.5
            scores_S = scores_S.masked_fill(torch.tensor(seen) == t, -1e5)
            rows.append(scores_S.softmax(0) @ v_LHK[seen, h])
    return torch.stack(rows).reshape(L, -1) @ mechanism.out.weight.T
