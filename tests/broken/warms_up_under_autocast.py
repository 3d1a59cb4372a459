# LRA208: outputs in bfloat16 grow with the number of calls before.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)
        self.num_calls = 0

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean_BLD = x.cumsum(1) / steps_L1
        y_BLD = self.mix(mean_BLD)
        if y_BLD.dtype == torch.bfloat16:
            self.num_calls += 1
        return y_BLD * (1 + 0.02 * self.num_calls)
