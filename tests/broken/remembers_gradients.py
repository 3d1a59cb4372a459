# LRA209: a backward hook adds what it sees to the outputs that follow.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)
        self.seen = [0.0]
        self.mix.bias.register_post_accumulate_grad_hook(self.remember)

    def remember(self, bias: Tensor) -> None:
        self.seen[0] += float(bias.grad.sum())

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean_BLD = x.cumsum(1) / steps_L1
        return self.mix(mean_BLD) + self.seen[0]
