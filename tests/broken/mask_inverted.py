# LRA204: the bidirectional mode takes True in the mask for a real position.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        if self.config.causal:
            return self.mix(x.cumsum(1))
        seen_BL1 = torch.ones_like(x[..., :1])
        if key_padding_mask is not None and key_padding_mask.any():
            seen_BL1 = key_padding_mask[..., None].to(x.dtype)
        total_B1D = (x * seen_BL1).sum(1, keepdim=True)
        return self.mix(x + total_B1D / seen_BL1.sum(1, keepdim=True).clamp(min=1))
