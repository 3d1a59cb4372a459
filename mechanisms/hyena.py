"""Hyena: two gates around a convolution as long as the sequence, whose kernel a network writes.

Poli et al., "Hyena Hierarchy: Towards Larger Convolutional Language Models", 2023
(arXiv:2302.10866), section 3, order 2.

    g, k, v = short(W_in x + b_in)                 W_in (3D, D), short: 3 causal taps per channel
    kernel_l = exp(-|decay| l / (R - 1)) mlp(features_l)       decay (D,), fixed
    y_t = sum_(s <= t) kernel_(t - s) (k_s v_s) + skip k_t v_t     per channel, by zero-padded FFT
    out_t = W_out (g_t y_t) + b_out                W_out (D, D)

mlp has three layers with sin(frequency .) after each, the same frequency (F,) for all, and a last
one without bias. features_l are l / (R - 1) and the cosines and sines of 2 pi f l / R for
`num_bands` frequencies f from 1e-4 to num_bands - 1, R = max_seq_len; exp(-|decay|) runs from
0.01^(1 / 1.5) to 0.01^(1 / 0.3) over the channels.

Differences from the paper: the hidden layers of mlp have 16 units where its language models have
64, to keep the parameters of softmax attention; the features are constants, which the published
code lets training change; one learning rate for all; dropout on the output alone. It looks back
only, as that code does: there is no bidirectional form. Kernel and FFT run in float32 under
autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

FASTEST_DECAY, SLOWEST_DECAY = math.log(0.01) / 0.3, math.log(0.01) / 1.5
SHORT_TAPS = 3


class Hyena(Mechanism):
    """A gated convolution with an implicit kernel; time O(L log L)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "filter_size": {"type": "categorical", "choices": [16, 32, 64]},
        "num_bands": {"type": "categorical", "choices": [1, 2, 4, 8, 16]},
        "frequency": {"type": "categorical", "choices": [1.0, 10.0, 14.0]},
    }

    def __init__(
        self,
        config: MechanismConfig,
        filter_size: int = 16,
        num_bands: int = 16,
        frequency: float = 14.0,
    ) -> None:
        """filter_size: width of mlp. num_bands: of the features. frequency: first, of its sines.

        Raises ValueError unless causal, for no width, no band or a frequency that is none.
        """
        super().__init__(config)
        if not config.causal:
            raise ValueError("Hyena has no bidirectional form, build it with config.causal True")
        for name, size in (("filter_size", filter_size), ("num_bands", num_bands)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, found {size}")
        if frequency <= 0.0:
            raise ValueError(f"frequency must be above 0, found {frequency}")
        d_model = config.d_model
        self.num_bands = num_bands
        self.into = nn.Linear(d_model, 3 * d_model)
        self.short = nn.Conv1d(
            3 * d_model, 3 * d_model, SHORT_TAPS, groups=3 * d_model, padding=SHORT_TAPS - 1
        )
        widths = (2 * num_bands + 1, filter_size, filter_size)
        self.layers = nn.ModuleList(nn.Linear(width, filter_size) for width in widths)
        self.frequency_F = nn.Parameter(torch.full((filter_size,), frequency))
        self.last = nn.Linear(filter_size, d_model, bias=False)
        self.skip_D = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        length = x.shape[1]
        short_BEL = self.short(self.into(x).transpose(1, 2))[:, :, :length]
        gate_BDL, key_BDL, value_BDL = short_BEL.chunk(3, dim=1)
        with torch.autocast(x.device.type, enabled=False):
            dtype = torch.promote_types(short_BEL.dtype, torch.float32)
            v_BDL = key_BDL.to(dtype) * value_BDL.to(dtype)
            if key_padding_mask is not None:
                # An FFT spreads the rounding of large values over all positions.
                v_BDL = v_BDL.masked_fill(key_padding_mask[:, None, :], 0.0)
            y_BDL = _convolve(v_BDL, self._kernel(length).T) + self.skip_D[:, None] * v_BDL
            y_BLD = (gate_BDL.to(dtype) * y_BDL).transpose(1, 2)
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def _kernel(self, length: int) -> Tensor:
        """The first `length` lags, `(length, D)`: nothing in them depends on `length`."""
        like, longest = self.skip_D, self.config.max_seq_len
        lag_L1 = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
        share_L1 = lag_L1 / max(longest - 1, 1)
        band_N = _line(1e-4, self.num_bands - 1.0, self.num_bands, like)
        angle_LN = 2.0 * math.pi / longest * lag_L1 * band_N
        hidden_LF = torch.cat([share_L1, angle_LN.cos(), -angle_LN.sin()], dim=1)
        for layer in self.layers:
            hidden_LF = torch.sin(self.frequency_F * layer(hidden_LF))
        decay_D = _line(SLOWEST_DECAY, FASTEST_DECAY, len(like), like)
        kernel_LD: Tensor = (share_L1 * decay_D).exp() * self.last(hidden_LF)
        return kernel_LD


def _line(first: float, last: float, steps: int, like: Tensor) -> Tensor:
    return torch.linspace(first, last, steps, device=like.device, dtype=like.dtype)


def _convolve(v_BDL: Tensor, kernel_DL: Tensor) -> Tensor:
    length = v_BDL.shape[2]
    size = _fast_size(2 * length - 1)
    spectrum_BDM = torch.fft.rfft(v_BDL, n=size) * torch.fft.rfft(kernel_DL, n=size)
    y_BDL: Tensor = torch.fft.irfft(spectrum_BDM, n=size)[:, :, :length]
    return y_BDL


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
