"""Retention in its parallel form: one matrix of complex scores per head, faded by the lag."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class FadingScores(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        D, H = config.d_model, config.num_heads
        self.pairs = -(-D // (4 * H))
        self.all = nn.Linear(D, 4 * H * self.pairs + 2 * D, bias=False)
        self.leave = nn.Linear(D, D, bias=False)
        self.drop = nn.Dropout(config.dropout)
        wide = 2 * H * self.pairs
        for rows in self.all.weight.split([wide, wide, D, D]):
            nn.init.xavier_uniform_(rows, gain=2**-2.5)
        nn.init.xavier_uniform_(self.leave.weight)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        D, H, P = self.config.d_model, self.config.num_heads, self.pairs
        wide = torch.promote_types(x.dtype, torch.float32)
        q, k, v, gate = self.all(x).split([2 * H * P, 2 * H * P, D, D], dim=-1)
        with torch.autocast(x.device.type, enabled=False):
            q, k = (
                torch.view_as_complex(part.to(wide).unflatten(2, (H, P, 2)).contiguous())
                for part in (q, k)
            )
            t = torch.arange(x.shape[1], device=x.device, dtype=wide)
            turn = 1e4 ** (-torch.arange(P, device=x.device, dtype=wide) / max(P - 1, 1))
            phase = torch.polar(torch.ones((), device=x.device, dtype=wide), t[:, None] * turn)
            q, k = q * phase[:, None], k * phase[:, None]
            scores = torch.einsum("bthp,bshp->bhts", q, k.conj()).real / (2 * P) ** 0.5
            gamma = 1 - 2.0 ** (-5 - torch.arange(H, device=x.device, dtype=wide))
            lag = t[:, None] - t
            fade = torch.where(lag < 0, 0.0, gamma[:, None, None] ** lag.clamp(min=0))
            y = torch.einsum("bhts,bshv->bthv", scores * fade, v.to(wide).unflatten(2, (H, -1)))
            y = y * (y.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        return self.drop(self.leave(gate * gate.sigmoid() * y.flatten(2).to(gate.dtype)))
