# A convolution whose FFT runs in float32 whatever the input is. May warn: LRA213.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class FftInFloat32(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.kernel = nn.Parameter(torch.randn(config.max_seq_len, config.d_model) / 8)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L = x.shape[1]
        spectrum = torch.fft.rfft(x.float(), n=2 * L, dim=1)
        spectrum = spectrum * torch.fft.rfft(self.kernel[:L].float(), n=2 * L, dim=0)
        return torch.fft.irfft(spectrum, n=2 * L, dim=1)[:, :L].to(x.dtype)
