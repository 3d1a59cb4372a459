"""Naive twin of `mechanisms/sgconv.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), max_seq_len=90, H=1, K=3, hyperparameters={"kernel_width": 1}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"kernel_width": 5, "decay": 0.25}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"kernel_width": 0}, "kernel_width must be at least 1, found 0"),
    ({"decay": 1.5}, r"decay must lie in \(0, 1\], found 1.5"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, kernel_width: int = 8, decay: float = 0.5
) -> Tensor:
    L = len(x_LD)
    kernel_RLD = [
        naive_kernel(taps_SDT, decay) / norm_D1[:, 0]
        for taps_SDT, norm_D1 in zip(mechanism.taps_SRDT.unbind(1), mechanism.norm_RD1, strict=True)
    ]
    rows = []
    for t in range(L):
        y_D = mechanism.skip_D * x_LD[t]
        y_D = y_D + sum(kernel_RLD[0][t - s] * x_LD[s] for s in range(t + 1))
        if not mechanism.config.causal:
            y_D = y_D + sum(kernel_RLD[1][s - t - 1] * x_LD[s] for s in range(t + 1, L))
        rows.append(y_D)
    value_LD, gate_LD = (F.gelu(torch.stack(rows)) @ mechanism.out.weight.T).chunk(2, dim=1)
    return value_LD * gate_LD.sigmoid()


def naive_kernel(taps_SDT: Tensor, decay: float) -> Tensor:
    """`(R, D)`: scale i is `width` points, each `stretch` apart, with straight lines between."""
    rows, width = [], taps_SDT.shape[2]
    for scale, taps_DT in enumerate(taps_SDT):
        stretch = 2 ** max(scale - 1, 0)
        for j in range(width * stretch):
            place = min(max((j + 0.5) / stretch - 0.5, 0.0), width - 1.0)
            left = math.floor(place)
            right = min(left + 1, width - 1)
            value_D = (1 - (place - left)) * taps_DT[:, left] + (place - left) * taps_DT[:, right]
            rows.append(decay**scale * value_D)
    return torch.stack(rows)
