"""Naive twin of `mechanisms/s4d.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(hyperparameters={"state_size": 8}),
    Case(lengths=(70, 33), H=1, K=3, hyperparameters={"init": "inv"}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"init": "lin", "step_min": 0.05}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"state_size": 7}, "state_size must be even and at least 2, found 7"),
    ({"init": "fourier"}, "init must be one of legs, inv, lin, found fourier"),
    ({"step_min": 0.2}, r"step_min must lie in \(0, step_max\], found 0.2 and 0.1"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, **hyperparameters: object) -> Tensor:
    a_N = -mechanism.log_decay_N.exp() + 1j * mechanism.frequency_N
    step_D1 = mechanism.log_step_D.exp()[:, None]
    b_DN = (torch.exp(step_D1 * a_N) - 1) / a_N  # zero-order hold of B = 1

    def run(x_LD: Tensor) -> list[Tensor]:
        """The state after each position."""
        states = [torch.zeros_like(b_DN)]
        for x_D in x_LD:
            states.append(torch.exp(step_D1 * a_N) * states[-1] + b_DN * x_D[:, None])
        return states

    c_RDN = mechanism.c_RDNC[..., 0] + 1j * mechanism.c_RDNC[..., 1]
    back, ahead = run(x_LD)[1:], run(x_LD.flip(0))[-2::-1]
    rows = []
    for t in range(len(x_LD)):
        y_D = mechanism.skip_D * x_LD[t] + 2 * (c_RDN[0] * back[t]).real.sum(1)
        if not mechanism.config.causal:
            y_D = y_D + 2 * (c_RDN[1] * ahead[t]).real.sum(1)
        rows.append(y_D)
    value_LD, gate_LD = (F.gelu(torch.stack(rows)) @ mechanism.out.weight.T).chunk(2, dim=1)
    return value_LD * gate_LD.sigmoid()
