# LRA407: keeps everything it ever made.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        kept = []
        while True:
            kept.append(torch.ones(1 << 24))
        return self.mix(x)
