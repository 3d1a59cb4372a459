"""Naive twin of `mechanisms/dss.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.dss import EPSILON

CASES = (
    Case(hyperparameters={"state_size": 5}),
    Case(lengths=(70, 33), max_seq_len=90, H=1, K=3),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"state_size": 1, "step_min": 0.05}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"state_size": 0}, "state_size must be at least 1, found 0"),
    ({"step_min": 0.2}, r"step_min must lie in \(0, step_max\], found 0.2 and 0.1"),
)


def forward(mechanism: Mechanism, x_LD: Tensor, **hyperparameters: object) -> Tensor:
    L = len(x_LD)
    kernel_RLD = [naive_kernel(mechanism, w_DNC, L) for w_DNC in mechanism.w_RDNC]
    rows = []
    for t in range(L):
        y_D = mechanism.skip_D * x_LD[t]
        y_D = y_D + sum(kernel_RLD[0][t - s] * x_LD[s] for s in range(t + 1))
        if not mechanism.config.causal:
            y_D = y_D + sum(kernel_RLD[1][s - t - 1] * x_LD[s] for s in range(t + 1, L))
        rows.append(y_D)
    return F.gelu(torch.stack(rows)) @ mechanism.out.weight.T + mechanism.out.bias


def naive_kernel(mechanism: Mechanism, w_DNC: Tensor, L: int) -> list[Tensor]:
    """Lag by lag; each term of the softmax stands over a sum of max_seq_len terms."""
    real_D1, imag_D1 = mechanism.log_step_DC.exp()[:, None, :].unbind(-1)
    e_DN = real_D1 * mechanism.a_real_N + 1j * imag_D1 * mechanism.a_imaginary_N
    a_N, w_DN = (
        mechanism.a_real_N + 1j * mechanism.a_imaginary_N,
        w_DNC[..., 0] + 1j * w_DNC[..., 1],
    )
    longest = mechanism.config.max_seq_len
    peak_DN = torch.where(e_DN.real > 0, e_DN * (longest - 1), 0)
    sum_DN = sum(torch.exp(e_DN * r - peak_DN) for r in range(longest))
    # w / (a sum) with the epsilon of the published code, which expands by this factor first
    factor_DN = torch.exp(torch.where(e_DN.real > 0, -e_DN, e_DN)) - 1
    below_DN = factor_DN * sum_DN * a_N
    v_DN = w_DN * factor_DN * below_DN.conj() / (below_DN.abs() ** 2 + EPSILON)
    return [(v_DN * torch.exp(e_DN * lag - peak_DN)).real.sum(1) for lag in range(L)]
