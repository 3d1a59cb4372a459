"""The exponential moving average of the trained weights, which is then what is scored.

In its first steps it forgets faster, by min(decay, (1 + step) / (10 + step)), as TensorFlow's
`ExponentialMovingAverage` does with `num_updates`: else it would hold the initial weights for long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(
    averages: Sequence[Tensor], parameters: Sequence[Tensor], step: int, decay: float
) -> None:
    """Move the averages, in place, towards the weights that step `step` (from 0) ended with."""
    now = min(decay, (1 + step) / (10 + step))
    get_ema_multi_avg_fn(now)(list(averages), [p.detach() for p in parameters], None)  # type: ignore[no-untyped-call]


@contextmanager
def in_place_of(parameters: Sequence[Tensor], averages: Sequence[Tensor]) -> Iterator[None]:
    """Meanwhile the parameters have the values of the averages."""
    kept = [parameter.detach().clone() for parameter in parameters]
    try:
        _set(parameters, averages)
        yield
    finally:
        _set(parameters, kept)


@torch.no_grad()
def _set(parameters: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for parameter, value in zip(parameters, values, strict=True):
        parameter.copy_(value)
