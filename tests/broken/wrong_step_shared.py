# LRA214: the state of decoding lives on self, where two sequences share it.
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
        mean_BLD = x.cumsum(1) / steps_L1
        return self.mix(mean_BLD)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> None:
        self.sum = torch.zeros(batch_size, self.config.d_model, device=device, dtype=dtype)
        self.num_steps = 0

    def step(self, x_t: Tensor, state: None) -> tuple[Tensor, None]:
        self.sum, self.num_steps = self.sum + x_t, self.num_steps + 1
        return self.mix(self.sum / self.num_steps), None
