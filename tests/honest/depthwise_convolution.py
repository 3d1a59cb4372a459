# A depthwise convolution: padded on the left when causal, on both sides otherwise.
from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class DepthwiseConvolution(Mechanism):
    search_space: ClassVar = {"width": {"type": "int", "low": 2, "high": 16, "log": True}}

    def __init__(self, config: MechanismConfig, *, width: int = 4) -> None:
        super().__init__(config)
        self.width = width
        self.convolution = nn.Conv1d(config.d_model, config.d_model, width, groups=config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        if key_padding_mask is not None:
            x = x.masked_fill(key_padding_mask[..., None], 0)
        before = self.width - 1 if self.config.causal else self.width // 2
        x_BDL = F.pad(x.mT, (before, self.width - 1 - before))
        return F.silu(self.convolution(x_BDL)).mT
