"""Naive twin of `mechanisms/multires_convolution.py`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), max_seq_len=90, H=1, K=3, hyperparameters={"kernel_width": 2}),
    Case(lengths=(19, 2), H=1, K=7, hyperparameters={"kernel_width": 5}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (({"kernel_width": 1}, "kernel_width must be at least 2, found 1"),)


def forward(mechanism: Mechanism, x_LD: Tensor, kernel_width: int = 4) -> Tensor:
    h0_ID, h1_ID = mechanism.filters_RID
    y_LD, a_LD = mechanism.skip_D * x_LD, x_LD
    for j, w_D in enumerate(mechanism.weights_JD[1:]):
        y_LD = y_LD + w_D * naive_filter(a_LD, h1_ID, 2**j)
        a_LD = naive_filter(a_LD, h0_ID, 2**j)
    y_LD = y_LD + mechanism.weights_JD[0] * a_LD
    value_LD, gate_LD = (F.gelu(y_LD) @ mechanism.out.weight.T).chunk(2, dim=1)
    return value_LD * gate_LD.sigmoid()


def naive_filter(a_LD: Tensor, h_ID: Tensor, dilation: int) -> Tensor:
    rows = []
    for t in range(len(a_LD)):
        taps = [(i, t - dilation * i) for i in range(len(h_ID)) if t >= dilation * i]
        rows.append(torch.stack([h_ID[i] * a_LD[s] for i, s in taps]).sum(0))
    return torch.stack(rows)
