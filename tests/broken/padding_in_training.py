# LRA204: training alone sums what stands under the padding.
from __future__ import annotations

from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        y_BLD = self.mix(x)
        if self.config.causal or key_padding_mask is None or not self.training:
            return y_BLD
        return y_BLD + (x * key_padding_mask[..., None]).sum(1, keepdim=True)
