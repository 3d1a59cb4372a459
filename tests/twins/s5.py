"""Naive twin of `mechanisms/s5.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), H=1, K=3, hyperparameters={"state_size": 6, "num_blocks": 1}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"num_blocks": 2, "step_min": 0.05}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"state_size": 24}, "state_size must be a multiple of 2 num_blocks, found 24 and 8"),
    ({"step_min": 0.2}, r"step_min must lie in \(0, step_max\], found 0.2 and 0.1"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, **hyperparameters: object) -> Tensor:
    a_P = mechanism.a_real_P + 1j * mechanism.a_imaginary_P
    b_PD, c_RDP = (part[..., 0] + 1j * part[..., 1] for part in (mechanism.b_PDC, mechanism.c_RDPC))
    factor_P = torch.exp(mechanism.log_step_P.exp() * a_P)
    b_PD = ((factor_P - 1) / a_P)[:, None] * b_PD

    def run(x_LD: Tensor) -> list[Tensor]:
        """The state at each position."""
        states = [b_PD @ x_LD[0].to(b_PD.dtype)]
        for x_D in x_LD[1:]:
            states.append(factor_P * states[-1] + b_PD @ x_D.to(b_PD.dtype))
        return states

    back, ahead = run(x_LD), run(x_LD.flip(0))[::-1]
    rows = []
    for t in range(len(x_LD)):
        y_D = mechanism.skip_D * x_LD[t] + 2 * (c_RDP[0] @ back[t]).real
        if not mechanism.config.causal:
            y_D = y_D + 2 * (c_RDP[1] @ ahead[t]).real
        rows.append(y_D)
    u_LD = F.gelu(torch.stack(rows))
    return u_LD * (u_LD @ mechanism.gate.weight.T + mechanism.gate.bias).sigmoid()
