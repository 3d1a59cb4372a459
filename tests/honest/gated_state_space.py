# A diagonal state space with complex parameters, as a convolution in chunks of powers.
from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class GatedStateSpace(Mechanism):
    supports_bidirectional = False
    search_space: ClassVar = {"states": {"type": "int", "low": 2, "high": 32}}

    def __init__(self, config: MechanismConfig, *, states: int = 4) -> None:
        super().__init__(config)
        D = config.d_model
        self.log_decay = nn.Parameter(torch.rand(D, states).log())
        self.rate = nn.Parameter(torch.arange(states).expand(D, states) * torch.pi)
        self.mix = nn.Parameter(torch.randn(D, states, 2) / states)
        self.log_step = nn.Parameter(torch.tensor(-2.8))
        self.gate = nn.Linear(D, D)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L, dtype = x.shape[1], torch.promote_types(x.dtype, torch.float32)
        pole_DN = (
            torch.complex(-self.log_decay.exp(), self.rate).to(dtype.to_complex())
            * self.log_step.exp()
        )
        powers_DNL = (pole_DN[..., None] * torch.arange(L, device=x.device)).exp()
        mix_DN = torch.view_as_complex(self.mix).to(dtype.to_complex())
        kernel_DL = torch.einsum("DN,DNL->DL", mix_DN, powers_DNL).real
        spectrum = torch.fft.rfft(x.mT.to(dtype), n=2 * L) * torch.fft.rfft(kernel_DL, n=2 * L)
        y_BLD = torch.fft.irfft(spectrum, n=2 * L)[..., :L].mT
        return (y_BLD * self.gate(x).sigmoid()).to(x.dtype)
