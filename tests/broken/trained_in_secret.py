# LRA209: weights outside parameters() are trained by their own backward hooks.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


@torch.no_grad()
def descend(weight: Tensor) -> None:
    weight.sub_(weight.grad, alpha=0.05)
    weight.grad = None


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)
        generator = torch.Generator().manual_seed(7)
        size = (config.d_model, config.d_model)
        hidden = 0.1 * torch.randn(size, generator=generator)
        hidden.requires_grad_().register_post_accumulate_grad_hook(descend)
        self.hidden = [hidden]

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean_BLD = x.cumsum(1) / steps_L1
        return self.mix(mean_BLD) + mean_BLD @ self.hidden[0].to(x.dtype)
