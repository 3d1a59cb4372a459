"""Naive twin of `mechanisms/rwkv.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (Case(), Case(lengths=(131, 67), H=2, K=3), Case(lengths=(64,), H=1, K=5))


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    last_LD = torch.cat([torch.zeros_like(x_LD[:1]), x_LD[:-1]])

    def project(name: str, mix_D: Tensor) -> Tensor:
        return (mix_D * x_LD + (1 - mix_D) * last_LD) @ getattr(mechanism, name).weight.T

    r_LD = project("receptance", mechanism.mix_r_D)
    k_LD = project("key", mechanism.mix_k_D)
    v_LD = project("value", mechanism.mix_v_D)
    w_D = mechanism.log_w_D.exp()
    rows = []
    for t in range(len(x_LD)):
        exponents = [k_LD[s] - (t - 1 - s) * w_D for s in range(t)]
        weights_SD = torch.stack([*exponents, mechanism.bonus_D + k_LD[t]]).exp()
        rows.append((weights_SD * v_LD[: t + 1]).sum(0) / weights_SD.sum(0))
    return (r_LD.sigmoid() * torch.stack(rows)) @ mechanism.out.weight.T
