# LRA203: the sum over the past is divided by the length of the whole input.
from __future__ import annotations

from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        return self.mix(x.cumsum(1) / x.shape[1])
