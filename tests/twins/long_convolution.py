"""Naive twin of `mechanisms/long_convolution.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(19, 2), H=1, K=7),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"kernel_width": 0}, "kernel_width must be at least 1, found 0"),
    ({"decay": 1.5}, r"decay must lie in \(0, 1\], found 1.5"),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    L, D = x_LD.shape
    value_LD, gate_LD = (x_LD @ mechanism.into.weight.T).tensor_split(2, dim=1)
    kernel_LD = naive_kernel(mechanism.taps_TD, L, width=8, decay=0.5)
    looks_back_D = torch.arange(D) < (D if mechanism.config.causal else (D + 1) // 2)
    rows = []
    for t in range(L):
        back_D = sum(kernel_LD[t - s] * value_LD[s] for s in range(t + 1))
        ahead_D = sum(kernel_LD[s - t] * value_LD[s] for s in range(t, L))
        rows.append(torch.where(looks_back_D, back_D, ahead_D))
    return (F.silu(gate_LD) * torch.stack(rows)) @ mechanism.out.weight.T


def naive_kernel(taps_TD: Tensor, L: int, width: int, decay: float) -> Tensor:
    """`(L, D)`: scale i is `width` points, each `stretch` apart, with straight lines between."""
    rows = []
    scale = first = 0
    while len(rows) < L:
        stretch = 2 ** max(scale - 1, 0)
        for j in range(min(width * stretch, L - len(rows))):
            place = min(max((j + 0.5) / stretch - 0.5, 0.0), width - 1.0)
            left = math.floor(place)
            right = min(left + 1, width - 1)
            value_D = (1 - (place - left)) * taps_TD[first + left]
            if place > left:
                value_D = value_D + (place - left) * taps_TD[first + right]
            rows.append(decay**scale * value_D)
        scale, first = scale + 1, first + width
    return torch.stack(rows)
