"""Windowed softmax attention by unfolding the neighbourhood of each position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Neighbourhood(Mechanism):
    def __init__(self, config: MechanismConfig, window: int = 16) -> None:
        super().__init__(config)
        width = config.d_model
        self.q = nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.drop = nn.Dropout(config.dropout)
        self.reach = (window - 1, 0) if config.causal else (window // 2, window // 2)

    def around(self, row: Tensor) -> Tensor:
        """`(B, L, ...)` to `(B, L, ..., W)`."""
        flat = F.pad(row.flatten(2), (0, 0, *self.reach))
        return flat.unfold(1, sum(self.reach) + 1, 1).unflatten(2, row.shape[2:])

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        H = self.config.num_heads
        q = self.q(x).unflatten(2, (H, -1))
        k, v = (self.around(part.unflatten(2, (H, -1))) for part in self.kv(x).chunk(2, -1))
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        if key_padding_mask is not None:
            real = ~key_padding_mask
        seen = self.around(real[:, :, None].to(x.dtype))[:, :, 0] > 0.5
        seen[:, :, self.reach[0]] = True
        scores = torch.einsum("blhk,blhkw->blhw", q, k) * (q.shape[-1] ** -0.5)
        weights = scores.masked_fill(~seen[:, :, None], float("-inf")).softmax(-1)
        y = torch.einsum("blhw,blhkw->blhk", weights, v)
        return self.drop(self.out(y.flatten(2)))
