"""Naive twin of `mechanisms/luna.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.luna import CHUNK

CASES = (
    Case(),
    Case(lengths=(71, 5), H=2, K=3, hyperparameters={"packed_len": 5}),
    Case(lengths=(2 * CHUNK,), H=2, K=3),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (({"packed_len": 0}, "packed_len must be at least 1, found 0"),)


def forward(mechanism: Mechanism, x_LD: Tensor, packed_len: int = 16) -> Tensor:
    H = mechanism.config.num_heads
    head = causal_head if mechanism.config.causal else head_both_ways
    parts = [x_LD @ getattr(mechanism, name).weight.T for name in ("query", "pack", "unpack")]
    assert len(mechanism.packed_PD) == packed_len
    if not mechanism.config.causal:
        packed_PD = torch.cat(
            [
                soft_attention(p_PK, c_LK)
                for p_PK, c_LK in zip(
                    mechanism.packed_PD.chunk(H, 1), parts[1].chunk(H, 1), strict=True
                )
            ],
            dim=1,
        )
        parts[2] = packed_PD @ mechanism.unpack.weight.T
    heads = [
        head(*split)
        for split in zip(*(part.chunk(H, 1) for part in (mechanism.packed_PD, *parts)), strict=True)
    ]
    return torch.cat(heads, dim=1) @ mechanism.out.weight.T


def soft_attention(q_LK: Tensor, c_SK: Tensor) -> Tensor:
    return (q_LK @ c_SK.T / math.sqrt(q_LK.shape[1])).softmax(1) @ c_SK


def head_both_ways(p_PK: Tensor, q_LK: Tensor, k_LK: Tensor, c_PK: Tensor) -> Tensor:
    return soft_attention(q_LK, c_PK)


def causal_head(p_PK: Tensor, q_LK: Tensor, k_LK: Tensor, c_LK: Tensor) -> Tensor:
    root = math.sqrt(q_LK.shape[1])
    w_LP = F.softplus(k_LK @ p_PK.T / root, beta=math.log(2))
    rows = []
    for t in range(len(q_LK)):
        past = range(t + 1)
        scores_P = sum((q_LK[t] @ c_LK[s]) / root * w_LP[s] for s in past) / (t + 1)
        attention_P = scores_P.softmax(0)
        rows.append(sum((attention_P @ w_LP[s]) * c_LK[s] for s in past) / (t + 1))
    return torch.stack(rows)
