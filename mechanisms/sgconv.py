"""SGConv: each channel filters the sequence with a kernel as long as it, of few parameters.

Li et al., "What Makes Convolutional Models Great on Long Sequence Modeling?", 2022
(arXiv:2210.09298), section 3: a multi-scale structure that decays with the lag.

    kernel = (1 / Z) [k_0, a k_1, a^2 k_2, ...]    (D, R); k_i is w_i (D, width), stretched linearly
                                                   to width, width, 2 width, 4 width, ...
    y_t = sum_s kernel_(t - s) x_s + skip x_t      per channel, by a zero-padded FFT
    out_t = GLU(W_out gelu(y_t))                   W_out (2D, D)

R is the first length of these scales that reaches max_seq_len, a = 1/2. Z, one for each channel,
is the norm of the kernel as first drawn and never changes. Without causality a second kernel, of
the same shape, is taken over s > t, at lag s - t - 1.

Differences from the paper: width is 8 where its Long Range Arena runs have 1 to 32, to keep the
parameters of softmax attention in both modes; the power of the decay runs down from 1 and not up
to it, which Z takes out again; the polynomial decay of its image run is left out; no bias in
W_out; one learning rate for all. Kernel and FFT run in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class SGConv(Mechanism):
    """A long convolution per channel; time O(L log L)."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "kernel_width": {"type": "categorical", "choices": [1, 2, 4, 8, 16, 32]},
        "decay": {"type": "categorical", "choices": [0.25, 0.5, 1.0]},
    }
    norm_RD1: Tensor

    def __init__(self, config: MechanismConfig, kernel_width: int = 8, decay: float = 0.5) -> None:
        """kernel_width: parameters per scale and channel. decay: factor a from scale to scale.

        Raises ValueError when the kernel has no width, or a decay that is none.
        """
        super().__init__(config)
        if kernel_width < 1:
            raise ValueError(f"kernel_width must be at least 1, found {kernel_width}")
        if not 0.0 < decay <= 1.0:
            raise ValueError(f"decay must lie in (0, 1], found {decay}")
        self.decay = decay
        num_scales = 1 + max(0, math.ceil(math.log2(config.max_seq_len / kernel_width)))
        directions = 1 if config.causal else 2
        self.taps_SRDT = nn.Parameter(
            torch.randn(num_scales, directions, config.d_model, kernel_width)
        )
        self.skip_D = nn.Parameter(torch.randn(config.d_model))
        self.out = nn.Linear(config.d_model, 2 * config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        # Persistent: it is of the first taps, which training forgets.
        norm_RD1 = (
            self._stretch(kernel_width << (num_scales - 1)).detach().norm(dim=2, keepdim=True)
        )
        self.register_buffer("norm_RD1", norm_RD1)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if key_padding_mask is not None:
            # Also when causal: an FFT spreads the rounding of large values over all positions.
            x = x.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            kernel_RDL = self._stretch(x.shape[1]) / self.norm_RD1
            y_BLD = _convolve(x_BLD, kernel_RDL) + self.skip_D * x_BLD
        out_BLD: Tensor = self.dropout(F.glu(self.out(F.gelu(y_BLD)), dim=-1))
        return out_BLD

    def _stretch(self, length: int) -> Tensor:
        """The first `length` lags of Z times the kernel, `(1 or 2, D, length)`."""
        scales, reach = [], 0
        for i, taps_RDT in enumerate(self.taps_SRDT):
            if reach < length:
                stretch = 2 ** max(i - 1, 0)
                stretched = F.interpolate(taps_RDT, scale_factor=float(stretch), mode="linear")
                scales.append(self.decay**i * stretched)
                reach += stretched.shape[2]
        return torch.cat(scales, dim=2)[:, :, :length]


def _convolve(x_BLD: Tensor, kernel_RDL: Tensor) -> Tensor:
    """The first kernel over s <= t, at lag t - s, and a second over s > t, at lag s - t - 1."""
    length = x_BLD.shape[1]
    size = _fast_size(2 * length - 1)
    kernel_DM = torch.fft.rfft(kernel_RDL[0], n=size)
    if len(kernel_RDL) == 2:  # the conjugate is the spectrum of the reversed kernel
        ahead_DL = F.pad(kernel_RDL[1, :, :-1], (1, 0))
        kernel_DM = kernel_DM + torch.fft.rfft(ahead_DL, n=size).conj()
    x_BMD = torch.fft.rfft(x_BLD, n=size, dim=1)
    y_BLD: Tensor = torch.fft.irfft(x_BMD * kernel_DM.T, n=size, dim=1)[:, :length]
    return y_BLD


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
