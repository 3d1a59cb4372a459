"""Naive twin of `mechanisms/sinkhorn.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=1, K=3, hyperparameters={"block_size": 8}),
    Case(lengths=(29, 2), H=2, K=3, hyperparameters={"num_iterations": 2, "temperature": 0.5}),
    Case(lengths=(19,), H=1, K=2, max_seq_len=80, hyperparameters={"block_size": 4}),
)
REFUSED = (
    ({"block_size": 0}, "block_size must be at least 1, found 0"),
    ({"temperature": 0.0}, "temperature must be above 0, found 0.0"),
    ({"num_iterations": 0}, "num_iterations must be at least 1, found 0"),
)


def sorting(logit_CC: Tensor, causal: bool, num_iterations: int) -> Tensor:
    """S, by the definition: exponentials, rows and columns divided by their sums in turn."""
    C = len(logit_CC)
    share_CC = logit_CC.exp().triu(1) if causal else logit_CC.exp()
    for _ in range(num_iterations):
        rows = []
        for n in range(C):
            upto_C = [share_CC[n, : l + 1 if causal else C].sum() for l in range(C)]
            rows.append(torch.stack([share_CC[n, l] / (upto_C[l] or 1) for l in range(C)]))
        share_CC = torch.stack(rows)
        columns = [share_CC[:, l] / (share_CC[:, l].sum() or 1) for l in range(C)]
        share_CC = torch.stack(columns, dim=1)
    return share_CC


def forward(
    mechanism: Mechanism,
    x_LD: Tensor,
    block_size: int | None = None,
    temperature: float = 0.75,
    num_iterations: int = 7,
) -> Tensor:
    q_LHK, k_LHK, v_LHK = project(mechanism, x_LD)
    (L, H, K), causal = q_LHK.shape, mechanism.config.causal
    full = mechanism.config.max_seq_len
    b = min(block_size or max(64, math.ceil(math.sqrt(full))), math.ceil(full / 8))
    C = math.ceil(L / b)
    rows = torch.zeros(L, H, K, dtype=torch.float64)
    for h in range(H):
        k_CIK, v_CIK = (
            F.pad(part_LHK[:, h], (0, 0, 0, C * b - L)).reshape(C, b, K)
            for part_LHK in (k_LHK, v_LHK)
        )
        sums = [k_LHK[: n * b + 1, h].sum(0) if causal else k_CIK[n].sum(0) for n in range(C)]
        logit_CC = torch.stack(sums) @ mechanism.sort.weight[:C].T / temperature
        share_CC = sorting(logit_CC, causal, num_iterations)
        for t in range(L):
            l = t // b
            own = range(l * b, t + 1 if causal else min(l * b + b, L))
            weights_S = (k_LHK[own, h] @ q_LHK[t, h] / math.sqrt(K)).softmax(0)
            y_K = weights_S @ v_LHK[own, h]
            if l > 0 or not causal:
                k_IK = sum(share_CC[n, l] * k_CIK[n] for n in range(C))[:L]
                v_IK = sum(share_CC[n, l] * v_CIK[n] for n in range(C))[:L]
                y_K = y_K + (k_IK @ q_LHK[t, h] / math.sqrt(K)).softmax(0) @ v_IK
            rows = rows.index_put((torch.tensor(t), torch.tensor(h)), y_K)
    return rows.reshape(L, H * K) @ mechanism.out.weight.T
