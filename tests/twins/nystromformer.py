"""Naive twin of `mechanisms/nystromformer.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case, project

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67, 5), H=2, K=3, hyperparameters={"num_landmarks": 8, "kernel_width": 5}),
    Case(lengths=(150, 30), H=1, K=3),
    Case(lengths=(1,), H=2, K=3),
)
REFUSED = (
    ({"num_landmarks": 0}, "num_landmarks must be at least 1, found 0"),
    ({"kernel_width": 4}, "kernel_width must be odd and at least 1, found 4"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, num_landmarks: int = 64, kernel_width: int = 35
) -> Tensor:
    heads = [
        attend(*(part[:, h] for part in project(mechanism, x_LD)), num_landmarks)
        + convolve(project(mechanism, x_LD)[2][:, h], mechanism.conv.weight[h, 0, :, 0])
        for h in range(mechanism.config.num_heads)
    ]
    return torch.cat(heads, dim=1) @ mechanism.out.weight.T


def attend(q_LK: Tensor, k_LK: Tensor, v_LK: Tensor, num_landmarks: int) -> Tensor:
    L, K = q_LK.shape
    m = min(num_landmarks, L)
    segments = [[t for t in range(L) if t * m // L == i] for i in range(m)]
    q_MK, k_MK = (
        torch.stack([x_LK[segment].mean(0) for segment in segments]) for x_LK in (q_LK, k_LK)
    )
    scale = math.sqrt(K)
    A_1 = (q_LK @ k_MK.T / scale).softmax(-1)
    A_2 = (q_MK @ k_MK.T / scale).softmax(-1)
    A_3 = (q_MK @ k_LK.T / scale).softmax(-1)
    I, Z = torch.eye(m, dtype=A_2.dtype), A_2.T / A_2.sum(0).max()
    for _ in range(6):
        Z = Z @ (13 * I - A_2 @ Z @ (15 * I - A_2 @ Z @ (7 * I - A_2 @ Z))) / 4
    return A_1 @ Z @ A_3 @ v_LK


def convolve(v_LK: Tensor, taps_T: Tensor) -> Tensor:
    L, half = len(v_LK), len(taps_T) // 2
    rows = []
    for t in range(L):
        near = [s for s in range(L) if abs(s - t) <= half]
        rows.append(sum(taps_T[s - t + half] * v_LK[s] for s in near))
    return torch.stack(rows)
