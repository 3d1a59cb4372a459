"""Linear attention by a cumulative sum of outer products; the sum of keys is one more value."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


def positive(u: Tensor) -> Tensor:
    """elu(u) + 1 in other words."""
    return torch.where(u > 0, u + 1, u.clamp(max=0).exp())


class RunningOuterProducts(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        width = config.d_model
        self.maps = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.last = nn.Linear(width, width, bias=False)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        q, k, v = (m(x).to(wide).unflatten(2, (self.config.num_heads, -1)) for m in self.maps)
        with torch.autocast(x.device.type, enabled=False):
            one = torch.ones_like(v[..., :1])
            k = positive(k)
            if key_padding_mask is not None:
                k = k * (~key_padding_mask)[:, :, None, None].to(wide)
            outer = torch.einsum("blhi,blhj->blhij", k, torch.cat((v, one), -1))
            memory = outer.cumsum(1) if self.config.causal else outer.sum(1, keepdim=True)
            read = (positive(q)[..., None] * memory).sum(-2)
            y = read[..., :-1] / (read[..., -1:] + 1e-6)
        return self.drop(self.last(y.flatten(2)))
