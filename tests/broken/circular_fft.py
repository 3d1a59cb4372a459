# LRA202: a convolution by FFT without zero-padding wraps the end round to the start.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class Broken(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.kernel = nn.Parameter(torch.randn(config.max_seq_len, config.d_model) / 8)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L = x.shape[1]
        spectrum = torch.fft.rfft(x.double(), dim=1) * torch.fft.rfft(
            self.kernel[:L].double(), dim=0
        )
        return torch.fft.irfft(spectrum, n=L, dim=1).to(x.dtype)
