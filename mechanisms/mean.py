"""Mean over the past: the floor that a mechanism worth its name stands above.

The uniform attention that Zaheer et al., "Deep Sets", 2017 (arXiv:1703.06114) call mean pooling:
which tokens there were, and nothing of where.

    out_t = W_out (1 / n_t) sum_s x_s              over n_t positions s: s <= t when causal,
                                                   every real one when not; W_out (D, D)

Difference from the paper: a running mean when causal. The sums are kept in float32 under autocast.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Mean(Mechanism):
    """The mean of all positions one may see, projected; time O(L), decoding state (D + 1,)."""

    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        dtype = torch.promote_types(x.dtype, torch.float32)
        if self.config.causal:  # padding stands on the right: no real position sees it
            count_L1 = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=dtype)[:, None]
            mean_BLD = x.cumsum(1, dtype=dtype) / count_L1
        else:
            mean_BLD = _masked_mean(x.to(dtype), key_padding_mask).expand(x.shape)
        out_BLD: Tensor = self.dropout(self.out(mean_BLD))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, int]:
        """Sum `(B, D)` and number of the positions so far. NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        dtype = torch.promote_types(dtype, torch.float32)
        return torch.zeros(batch_size, self.config.d_model, device=device, dtype=dtype), 0

    def step(self, x_t: Tensor, state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        sum_BD, count = state[0] + x_t, state[1] + 1
        out_BD: Tensor = self.dropout(self.out(sum_BD / count))
        return out_BD, (sum_BD, count)


def _masked_mean(x_BLD: Tensor, key_padding_mask: Tensor | None) -> Tensor:
    """`(B, 1, D)`; zero where a whole row is padding."""
    if key_padding_mask is None:
        return x_BLD.mean(1, keepdim=True)
    padding_BL1 = key_padding_mask[:, :, None]
    count_B11 = (~padding_BL1).sum(1, keepdim=True).clamp(min=1)
    return x_BLD.masked_fill(padding_BL1, 0.0).sum(1, keepdim=True) / count_B11
