# Linear attention in chunks of 8 with a carried state, padded up to whole chunks.
from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

CHUNK = 8


class ChunkedLinear(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L = x.shape[1]
        qkv = F.pad(self.qkv(x), (0, 0, 0, -L % CHUNK))
        q, k, v = rearrange(
            qkv, "B (n C) (three H K) -> three B H n C K", C=CHUNK, three=3, H=self.config.num_heads
        )
        q, k = F.elu(q) + 1, F.elu(k) + 1
        v = torch.cat([v, torch.ones_like(v[..., :1])], dim=-1)
        state = (k.mT @ v).cumsum(2)
        before = F.pad(state, (0, 0, 0, 0, 1, 0))[:, :, :-1]
        y = q @ before + (q @ k.mT).tril() @ v
        y = y[..., :-1] / (y[..., -1:] + 1e-6)
        return rearrange(y, "B H n C K -> B (n C) (H K)")[:, :L]
