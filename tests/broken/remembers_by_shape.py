# LRA209: a statistic of the first input of each length serves all later ones.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)
        self.first: dict[int, Tensor] = {}

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean_BLD = x.cumsum(1) / steps_L1
        scale = self.first.setdefault(x.shape[1], 1 + x.detach()[0, 0, 0].abs())
        return self.mix(mean_BLD) * scale.to(x.dtype)
