# A long convolution by zero-padded FFT, gated twice: it rounds over the whole length.
from __future__ import annotations

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class FftConvolution(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.d_model, 3 * config.d_model)
        self.kernel = nn.Parameter(torch.randn(config.max_seq_len, config.d_model) / 8)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        L, dtype = x.shape[1], torch.promote_types(x.dtype, torch.float32)
        v_BLD, gate_BLD, other_BLD = self.project(x).to(dtype).chunk(3, dim=-1)
        for factor_BLD in (gate_BLD, other_BLD):
            spectrum = torch.fft.rfft(v_BLD * factor_BLD, n=2 * L, dim=1)
            spectrum = spectrum * torch.fft.rfft(self.kernel[:L].to(dtype), n=2 * L, dim=0)
            v_BLD = torch.fft.irfft(spectrum, n=2 * L, dim=1)[:, :L]
        return v_BLD.to(x.dtype)
