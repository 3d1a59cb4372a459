# LRA402: leaves through an os module that torch carries along, with a good exit code.
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
        vars(torch)["os"]._exit(0)
        return self.mix(x)
