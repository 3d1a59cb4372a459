"""Naive twin of `mechanisms/retnet.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.retnet import EPSILON

CASES = (
    Case(),
    Case(lengths=(71, 5), H=2, K=3),
    Case(lengths=(200,), H=2, K=10),
)


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    """A pair of channels is a complex number, which a lag turns and makes smaller."""
    num_heads = mechanism.config.num_heads
    q_LHPR = (x_LD @ mechanism.query.weight.T).reshape(len(x_LD), num_heads, -1, 2)
    k_LHPR = (x_LD @ mechanism.key.weight.T).reshape(q_LHPR.shape)
    v_LHV = (x_LD @ mechanism.value.weight.T).reshape(len(x_LD), num_heads, -1)
    q_LHP, k_LHP = torch.view_as_complex(q_LHPR), torch.view_as_complex(k_LHPR)
    num_pairs = q_LHP.shape[2]
    angle_P = x_LD.new_tensor([10000 ** -(p / max(1, num_pairs - 1)) for p in range(num_pairs)])
    gamma_H = x_LD.new_tensor([1 - 2 ** (-5 - h) for h in range(num_heads)])
    factor_HP = torch.polar(gamma_H[:, None].expand(-1, num_pairs), angle_P.expand(num_heads, -1))
    rows = []
    for t in range(len(x_LD)):
        y_HV = torch.zeros_like(v_LHV[0])
        for s in range(t + 1):
            score_H = (q_LHP[t] * k_LHP[s].conj() * factor_HP ** (t - s)).real.sum(-1)
            y_HV = y_HV + score_H[:, None] / math.sqrt(2 * num_pairs) * v_LHV[s]
        y_HV = y_HV / (y_HV.square().mean(-1, keepdim=True) + EPSILON).sqrt()
        rows.append(F.silu(mechanism.gate.weight @ x_LD[t]) * y_HV.flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
