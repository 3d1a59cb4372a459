"""The gated long convolution as a product with Toeplitz matrices, its kernel made by hand."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class ToeplitzMixing(Mechanism):
    def __init__(self, config: MechanismConfig, width: int = 8, fade: float = 0.5) -> None:
        super().__init__(config)
        D = config.d_model
        pieces = 1 + max(0, math.ceil(math.log2(config.max_seq_len / width)))
        basis = torch.zeros(config.max_seq_len, pieces * width)
        start = 0
        for piece in range(pieces):
            stretch = 2 ** max(piece - 1, 0)
            rows = F.interpolate(torch.eye(width)[None], scale_factor=stretch, mode="linear")[0].T
            rows = rows[: config.max_seq_len - start] * fade**piece
            basis[start : start + len(rows), piece * width : (piece + 1) * width] = rows
            start += len(rows)
        basis = basis[:, basis.abs().sum(0) > 0]
        self.register_buffer("basis", basis, persistent=False)
        self.values, self.gates = (nn.Linear(D, D, bias=False) for _ in range(2))
        self.coefficients = nn.Parameter(torch.randn(D, basis.shape[1]) / basis.norm())
        self.leave = nn.Linear(D, D, bias=False)
        self.drop = nn.Dropout(config.dropout)

    def toeplitz(self, L: int) -> Tensor:
        """`(D, L, L)`: the weight of every input in every output."""
        kernel = F.pad(self.coefficients @ self.basis[:L].T, (0, 1))
        t = torch.arange(L, device=kernel.device)
        lag = t[:, None] - t
        back = kernel[:, torch.where(lag < 0, L, lag)]
        if self.config.causal:
            return back
        ahead = kernel[:, torch.where(lag > 0, L, -lag)]
        first = (len(kernel) + 1) // 2
        return torch.cat((back[:first], ahead[first:]))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        value, gate = self.values(x), self.gates(x)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        y = torch.einsum("dts,bsd->btd", self.toeplitz(x.shape[1]).to(value.dtype), value)
        return self.drop(self.leave(gate * gate.sigmoid() * y))
