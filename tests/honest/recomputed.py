# Activation checkpointing: torch imports its compiler at the first call.
from __future__ import annotations

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lra_design import Mechanism, MechanismConfig


class Honest(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        return checkpoint(self.mix, x, use_reentrant=False)
