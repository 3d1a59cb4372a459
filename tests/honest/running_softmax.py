# Softmax over the past by running maximum and sums, in chunks of 16.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class RunningSoftmax(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig, chunk: int = 16) -> None:
        super().__init__(config)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.chunk = chunk

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        top = x.new_full((*x.shape[:2], 1), -torch.inf, dtype=q.dtype)
        weight, total = torch.zeros_like(top), torch.zeros_like(q)
        places = torch.arange(x.shape[1], device=x.device)
        for keys, values, at in zip(
            k.split(self.chunk, 1), v.split(self.chunk, 1), places.split(self.chunk), strict=True
        ):
            scores = (q @ keys.mT).masked_fill(at[None, :] > places[:, None], -torch.inf)
            new_top = torch.maximum(top, scores.amax(-1, keepdim=True))
            fade, share = (top - new_top).exp(), (scores - new_top).exp()
            weight = weight * fade + share.sum(-1, keepdim=True)
            total = total * fade + share @ values
            top = new_top
        return total / weight
