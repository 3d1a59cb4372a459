# LRA408 and LRA308: the gradients are asked of another tensor, of a type that nobody can compare.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.mix = nn.Linear(config.d_model, config.d_model)
        self.scale = nn.Parameter(torch.ones(3))
        self.other = [nn.Parameter(torch.ones(3).to(torch.float8_e4m3fn))]

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        steps_L1 = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        mean_BLD = x.cumsum(1) / steps_L1
        both = self.scale.sum() + self.other[0].to(x.dtype).sum()
        return self.mix(mean_BLD) * both.to(x.dtype)

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Any:
        for name, parameter in super().named_parameters(prefix, recurse, remove_duplicate):
            hidden = name == "scale" and getattr(self, "asked", 0) > 1
            yield name, self.other[0] if hidden else parameter
        self.asked = getattr(self, "asked", 0) + 1
