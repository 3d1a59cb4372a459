"""Naive twin of `mechanisms/deltanet.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism
from mechanisms.deltanet import LENGTH_EPSILON, NORM_EPSILON

CASES = (
    Case(),
    Case(lengths=(131, 67), H=2, K=3),
    Case(lengths=(200,), H=2, K=5),
)
# The norm of a head makes the rounding larger where little is recalled, up to 0.04 of about 1.
BFLOAT16_TOLERANCE = 6e-2


def forward(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    num_heads = mechanism.config.num_heads
    projected_LE = x_LD @ mechanism.qkv.weight.T
    taps_EW = mechanism.conv.weight[:, 0]
    s_HKK = x_LD.new_zeros(num_heads, len(mechanism.norm_K), len(mechanism.norm_K))
    rows = []
    for t, x_D in enumerate(x_LD):
        lags = range(min(t + 1, taps_EW.shape[1]))
        qkv_E = sum(taps_EW[:, -1 - lag] * projected_LE[t - lag] for lag in lags)
        q_HK, k_HK, v_HK = F.silu(qkv_E).reshape(3, num_heads, -1)
        q_HK = q_HK / (q_HK.square().sum(-1, keepdim=True) + LENGTH_EPSILON).sqrt()
        k_HK = k_HK / (k_HK.square().sum(-1, keepdim=True) + LENGTH_EPSILON).sqrt()
        beta_H1 = (mechanism.beta.weight @ x_D).sigmoid()[:, None]
        recalled_HK = torch.einsum("HJK,HJ->HK", s_HKK, k_HK)
        change_HK = beta_H1 * (v_HK - recalled_HK)
        s_HKK = s_HKK + k_HK[:, :, None] * change_HK[:, None, :]
        y_HK = torch.einsum("HJK,HJ->HK", s_HKK, q_HK) / math.sqrt(q_HK.shape[1])
        y_HK = y_HK / (y_HK.square().mean(-1, keepdim=True) + NORM_EPSILON).sqrt()
        rows.append((y_HK * mechanism.norm_K).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T
