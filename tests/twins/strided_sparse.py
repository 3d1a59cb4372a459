"""Naive twin of `mechanisms/strided_sparse.py`."""

from __future__ import annotations

import math

from torch import Tensor
from twin_case import Case, attend

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(67, 30), H=1, K=3, hyperparameters={"stride": 5}),
    Case(lengths=(19, 2), H=2, K=3, hyperparameters={"stride": 23}),
    Case(lengths=(6,), H=1, K=3, hyperparameters={"stride": 1}),
)
REFUSED = (({"stride": 0}, "stride must be at least 1, found 0"),)


def forward(mechanism: Mechanism, x_LD: Tensor, stride: int | None = None) -> Tensor:
    causal = mechanism.config.causal
    step = stride or math.ceil(math.sqrt(mechanism.config.max_seq_len))

    def sees(t: int, s: int) -> bool:
        return (s <= t or not causal) and (abs(t - s) < step or (t - s) % step == 0)

    return attend(mechanism, x_LD, sees)
