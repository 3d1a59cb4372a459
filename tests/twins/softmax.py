"""Naive twin of `mechanisms/softmax.py`."""

from __future__ import annotations

from torch import Tensor
from twin_case import Case, attend

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(1,), H=2, K=7),
    Case(hyperparameters={"kernel": "math"}),
    Case(hyperparameters={"kernel": "flash"}),
)
REFUSED = (
    ({"kernel": "falsh"}, "kernel must be one of auto, math, .*, found 'falsh'"),
    ({"kernel": "flash-attn"}, "kernel 'flash-attn' (needs CUDA|is not installed)"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, kernel: str = "auto") -> Tensor:
    causal = mechanism.config.causal
    return attend(mechanism, x_LD, lambda t, s: s <= t or not causal)
