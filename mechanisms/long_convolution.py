"""Long convolution: each channel filters the whole sequence with a kernel as long as it, gated.

Li et al., "What Makes Convolutional Models Great on Long Sequence Modeling?" (SGConv), 2022
(arXiv:2210.09298), section 3: a kernel of few parameters, finer near and smoother far away, that
decays with the lag. The gate follows Poli et al., "Hyena Hierarchy", 2023 (arXiv:2302.10866).

    v_t, g_t = W_in x_t                            W_in (2D, D), each of v, g (D,)
    kernel = [k_0, a k_1, a^2 k_2, ...]            (D, L); k_i is w_i (D, width), stretched linearly
                                                   to width, width, 2 width, 4 width, ...
    y_t = sum_s kernel_(t - s) v_s                 per channel, by a zero-padded FFT
    out_t = W_out (silu(g_t) * y_t)                W_out (D, D)

Without causality the first half of the channels (rounded up) looks back and the second half ahead,
s - t in place of t - s, so both modes have the same parameters.

Differences from the papers: the kernel starts with an expected square norm of 1, where SGConv
divides by a constant for good; one gate and no short convolution; no separate skip weight, lag 0
is one. The FFT runs in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class LongConvolution(Mechanism):
    """A gated convolution over the whole sequence; time O(L log L)."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "kernel_width": {"type": "int", "low": 4, "high": 16, "log": True},
        "decay": {"type": "categorical", "choices": [0.25, 0.5, 1.0]},
    }
    upsample_LT: Tensor

    def __init__(self, config: MechanismConfig, kernel_width: int = 8, decay: float = 0.5) -> None:
        """kernel_width: parameters per scale and channel. decay: factor a from scale to scale.

        Raises ValueError when the kernel has no width, or a decay that is none.
        """
        super().__init__(config)
        if kernel_width < 1:
            raise ValueError(f"kernel_width must be at least 1, found {kernel_width}")
        if not 0.0 < decay <= 1.0:
            raise ValueError(f"decay must lie in (0, 1], found {decay}")
        upsample_LT = _upsampling(config.max_seq_len, kernel_width, decay)
        self.register_buffer("upsample_LT", upsample_LT, persistent=False)
        self.into = nn.Linear(config.d_model, 2 * config.d_model, bias=False)
        self.taps_TD = nn.Parameter(torch.empty(upsample_LT.shape[1], config.d_model))
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.taps_TD, std=1.0 / float(upsample_LT.norm()))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        value_BLD, gate_BLD = self.into(x).chunk(2, dim=2)
        if key_padding_mask is not None:
            # Also when causal: an FFT spreads the rounding of large values over all positions.
            value_BLD = value_BLD.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            y_BLD = self._convolve(
                value_BLD.to(torch.promote_types(value_BLD.dtype, torch.float32))
            )
        out_BLD: Tensor = self.dropout(self.out(F.silu(gate_BLD) * y_BLD))
        return out_BLD

    def _convolve(self, value_BLD: Tensor) -> Tensor:
        length = value_BLD.shape[1]
        size = _fast_size(2 * length - 1)
        kernel_LD = self.upsample_LT[:length] @ self.taps_TD
        kernel_MD = torch.fft.rfft(kernel_LD, n=size, dim=0)
        if not self.config.causal:  # the conjugate is the spectrum of the reversed kernel
            back_MD, ahead_MD = kernel_MD.tensor_split(2, dim=1)
            kernel_MD = torch.cat([back_MD, ahead_MD.conj()], dim=1)
        value_BMD = torch.fft.rfft(value_BLD, n=size, dim=1)
        y_BLD: Tensor = torch.fft.irfft(value_BMD * kernel_MD, n=size, dim=1)[:, :length]
        return y_BLD


def _upsampling(length: int, width: int, decay: float) -> Tensor:
    """`(length, T)`: the linear map from the T parameters of a channel to its kernel."""
    num_scales = 1 + max(0, math.ceil(math.log2(length / width)))
    scales = [
        decay**i
        * F.interpolate(torch.eye(width)[None], scale_factor=2 ** max(i - 1, 0), mode="linear")[0]
        for i in range(num_scales)
    ]
    upsample_TL: Tensor = torch.block_diag(*scales)[:, :length]  # type: ignore[no-untyped-call]
    return upsample_TL[upsample_TL.any(dim=1)].T.contiguous()  # less the parameters past the end


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
