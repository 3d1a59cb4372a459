# LRA401: the constructor never returns.
from __future__ import annotations

from torch import Tensor

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        while True:
            pass

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        return x
