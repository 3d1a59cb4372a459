# An output projection that starts at zero: no gradient reaches the rest until it moves.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class ZeroProjection(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        B, L, _ = x.shape
        q, k, v = (
            part.view(B, L, self.config.num_heads, -1).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        visible = torch.ones(1, 1, L, L, dtype=torch.bool, device=x.device)
        if self.config.causal:
            visible = visible.tril()
        if key_padding_mask is not None:
            real = ~key_padding_mask
            visible = visible & (real | ~real.any(1, keepdim=True))[:, None, None, :]
        y_BHLK = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self.out(y_BHLK.transpose(1, 2).reshape(B, L, -1))
