"""The mean of what may be seen, as a product with a matrix of weights, after the projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class AveragingMatrix(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.d_model, config.d_model, bias=False)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        B, L, _ = x.shape
        seen = x.new_ones(B, L, L)
        if self.config.causal:
            seen = seen.tril()
        if key_padding_mask is not None:
            seen = seen.masked_fill(key_padding_mask[:, None, :], 0.0)
        weights = seen / seen.sum(-1, keepdim=True).clamp(min=1.0)
        values = self.project(x)
        return self.drop(torch.einsum("bts,bsd->btd", weights.to(values.dtype), values))
