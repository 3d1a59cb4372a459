"""Small statistics that features are made of. None of them depends on a tensor's scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor

TINY = 1e-30


def change(a: Tensor, b: Tensor) -> float:
    """How far two tensors are apart: 0 equal, 1 unrelated, sqrt(2) opposite."""
    size = (a.square().sum() + b.square().sum()).sqrt().item()
    return (a - b).norm().item() / size if size > TINY else 0.0


def turn(a: Tensor, b: Tensor) -> float:
    """1 - cosine, in [0, 2]; 0 where there is nothing to compare."""
    size = (a.norm() * b.norm()).item()
    return 1.0 - (a * b).sum().item() / size if size > TINY else 0.0


def growth(before: Tensor, after: Tensor, factor: float) -> float:
    """The power of `factor` by which the size grew; within [-4, 4]."""
    sizes = (before.norm().item(), after.norm().item())
    if min(sizes) <= TINY:
        return 0.0
    return max(-4.0, min(4.0, math.log(sizes[1] / sizes[0]) / math.log(factor)))


def ratio(part: float, whole: float) -> float:
    """`part / whole`, at most 10; 0 where both are nothing."""
    return min(10.0, part / whole) if whole > 1e-12 else 0.0


def log_density(share: float) -> float:
    """Decimal logarithm with a floor: below a ten-thousandth is none."""
    return math.log10(max(share, 0.0) + 1e-4)


def participation(matrix: Tensor) -> float:
    """How many singular values count: (sum s^2)^2 / sum s^4, between 1 and the rank."""
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    fourth = gram.square().sum().item()
    return gram.trace().item() ** 2 / fourth if fourth > TINY else 0.0


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, 1 where one of both does not vary."""
    a, b = a - a.mean(), b - b.mean()
    size = (a.norm() * b.norm()).item()
    return (a * b).sum().item() / size if size > TINY else 1.0


def slope(values: Tensor) -> float:
    """Power of t with which positive values at positions 1, 2, ... grow, by least squares."""
    log_t = torch.arange(1, len(values) + 1, dtype=values.dtype).log()
    log_t = log_t - log_t.mean()
    log_values = values.clamp(min=TINY).log()
    return (log_t * log_values).sum().item() / log_t.square().sum().item()
