# LRA213: the computation runs in float32 whatever the input is.
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
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        return self.mix((x.float().cumsum(1) / steps_L1).to(x.dtype))
