# A delay by 11 through a zero-padded FFT: the first outputs are rounding and nothing else.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class DelayedCopy(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(config.d_model))
        delay_L = torch.zeros(config.max_seq_len)
        delay_L[min(11, config.max_seq_len - 1)] = 1.0
        self.register_buffer("delay", delay_L)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L = x.shape[1]
        spectrum = torch.fft.rfft(x * self.scale, n=2 * L, dim=1)
        spectrum = spectrum * torch.fft.rfft(self.delay[:L], n=2 * L)[:, None]
        return torch.fft.irfft(spectrum, n=2 * L, dim=1)[:, :L] + 0 * x
