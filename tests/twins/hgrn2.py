"""Naive twin of `mechanisms/hgrn2.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(64,), H=2, K=4, layer=(1, 3)),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    if not mechanism.config.causal:
        y_LD = _recur(mechanism, x_LD) + _recur(mechanism, x_LD.flip(0)).flip(0)
    else:
        y_LD = _recur(mechanism, x_LD)
    return mechanism.norm(y_LD) @ mechanism.out.weight.T


def _recur(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    config = mechanism.config
    bound = config.layer_index / config.num_layers
    s_HKV = x_LD.new_zeros(1)
    rows = []
    for x_D in x_LD:
        q_HK = (mechanism.query.weight @ x_D).sigmoid().reshape(config.num_heads, -1)
        v_HV = F.silu(mechanism.value.weight @ x_D).reshape(config.num_heads, -1)
        f_HK = (mechanism.forget.weight @ x_D).sigmoid().reshape(config.num_heads, -1)
        f_HK = bound + (1 - bound) * f_HK
        s_HKV = f_HK[:, :, None] * s_HKV + (1 - f_HK)[:, :, None] * v_HV[:, None, :]
        rows.append(torch.einsum("HK,HKV->HV", q_HK, s_HKV).flatten())
    return torch.stack(rows)
