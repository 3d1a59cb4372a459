"""Naive twin of `mechanisms/hyena.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), max_seq_len=90, H=1, K=3, hyperparameters={"filter_size": 5}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"num_bands": 3, "frequency": 1.0}),
    Case(lengths=(1,), H=1, K=2, hyperparameters={"num_bands": 1}),
)
REFUSED = (
    ({"filter_size": 0}, "filter_size must be at least 1, found 0"),
    ({"num_bands": 0}, "num_bands must be at least 1, found 0"),
    ({"frequency": 0.0}, "frequency must be above 0, found 0.0"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, num_bands: int = 16, **others: object) -> Tensor:
    L, D = x_LD.shape
    into_LE = x_LD @ mechanism.into.weight.T + mechanism.into.bias
    taps_EI = mechanism.short.weight[:, 0]
    kernel_LD = [naive_kernel(mechanism, lag, num_bands) for lag in range(L)]
    products, rows = [], []
    for t in range(L):
        short_E = mechanism.short.bias + sum(
            taps_EI[:, 2 - lag] * into_LE[t - lag] for lag in range(min(3, t + 1))
        )
        gate_D, key_D, value_D = short_E.split(D)
        products.append(key_D * value_D)
        y_D = sum(kernel_LD[t - s] * products[s] for s in range(t + 1))
        rows.append(gate_D * (y_D + mechanism.skip_D * products[t]))
    return torch.stack(rows) @ mechanism.out.weight.T + mechanism.out.bias


def naive_kernel(mechanism: Mechanism, lag: int, num_bands: int) -> Tensor:
    """`(D,)`, one lag."""
    R, D = mechanism.config.max_seq_len, mechanism.config.d_model
    share = lag / (R - 1) if R > 1 else 0.0
    bands = [1e-4 + (num_bands - 1 - 1e-4) * i / max(num_bands - 1, 1) for i in range(num_bands)]
    angles = [2 * math.pi * band * lag / R for band in bands]
    hidden_F = torch.tensor(
        [share, *(math.cos(a) for a in angles), *(-math.sin(a) for a in angles)],
        dtype=torch.float64,
    )
    for layer in mechanism.layers:
        hidden_F = torch.sin(mechanism.frequency_F * (layer.weight @ hidden_F + layer.bias))
    reach_D = torch.linspace(1 / 1.5, 1 / 0.3, D, dtype=torch.float64)
    return 0.01 ** (share * reach_D) * (mechanism.last.weight @ hidden_F)
