# Rotary softmax attention with a table of angles that grows with the longest input so far.
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class RotaryCache(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.head_dim = config.d_model // config.num_heads
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.angles: Tensor | None = None

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        B, L, D = x.shape
        heads = self.qkv(x).view(B, L, 3, -1, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = self.turn(heads[0]), self.turn(heads[1]), heads[2]
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(B, L, D)

    def turn(self, x: Tensor) -> Tensor:
        L, half = x.shape[-2], self.head_dim // 2
        if self.angles is None or len(self.angles) < L:
            rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64) / half)
            self.angles = torch.arange(L, dtype=torch.float64)[:, None] * rates
        angles = self.angles[:L].to(x.device)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
