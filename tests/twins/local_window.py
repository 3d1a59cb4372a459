"""Naive twin of `mechanisms/local_window.py`."""

from __future__ import annotations

from torch import Tensor
from twin_case import Case, attend

from lra_design import Mechanism

CASES = (
    Case(hyperparameters={"window": 7}),
    Case(lengths=(131, 67), H=1, K=3, hyperparameters={"window": 4}),
    Case(lengths=(149, 2), H=1, K=3, hyperparameters={"window": 71}),
    Case(lengths=(5, 3), K=2),
)
REFUSED = (({"window": 1}, "window must be at least 2, found 1"),)


def forward(mechanism: Mechanism, x_LD: Tensor, window: int = 16) -> Tensor:
    causal = mechanism.config.causal

    def sees(t: int, s: int) -> bool:
        return 0 <= t - s < window if causal else abs(t - s) <= window // 2

    return attend(mechanism, x_LD, sees)
