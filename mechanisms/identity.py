"""Identity: the floor that mixes nothing, each position keeps to itself.

Yu et al., "MetaFormer Baselines for Vision", 2022 (arXiv:2210.13452), IdentityFormer:
the identity map as token mixer, to show what the rest of the network does alone.

    out_t = W_out x_t                              W_out (D, D)

Difference from the paper: the projection W_out, which every other mechanism here has too, so that
what is missing is the mixing and not a linear layer.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Identity(Mechanism):
    """Each position projected, none seen by another; time O(L), no decoding state."""

    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        out_BLD: Tensor = self.dropout(self.out(x))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> tuple[()]:
        """Nothing to remember. NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        return ()

    def step(self, x_t: Tensor, state: tuple[()]) -> tuple[Tensor, tuple[()]]:
        """`x_t` `(B, D)` to the output `(B, D)`."""
        out_BD: Tensor = self.dropout(self.out(x_t))
        return out_BD, state
