"""Naive twin of `mechanisms/fnet.py`."""

from __future__ import annotations

import cmath
import math

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(41, 23, 8, 1), H=1, K=5),
    Case(lengths=(67, 64), H=1, K=2),
    Case(lengths=(1,), H=1, K=1),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    L, D = x_LD.shape
    y_LD = matrix(L) @ x_LD.to(torch.complex128) @ matrix(D)
    return y_LD.real / math.sqrt(L * D)


def matrix(n: int) -> Tensor:
    """exp(-2 pi i t k / n), `(n, n)`."""
    rows = [[cmath.exp(-2j * math.pi * (t * k % n) / n) for t in range(n)] for k in range(n)]
    return torch.tensor(rows, dtype=torch.complex128)
