"""MultiresLayer: a tree of convolutions shared by all levels, each twice as wide as the last.

Shi et al., "Sequence Modeling with Multiresolution Convolutional Memory", 2023
(arXiv:2305.01638), sections 3 and 4, with the resolution-fading choice of what to remember.

    a_0 = x
    b_j,t = sum_i h_1,i a_(j-1),(t - 2^(j-1) i)    h_0, h_1 (width, D), i over 0..width - 1
    a_j,t = sum_i h_0,i a_(j-1),(t - 2^(j-1) i)    for the levels j = 1..J
    y_t = sum_j w_j b_j,t + w_0 a_J,t + skip x_t   w (J + 1, D), skip (D,)
    out_t = GLU(W_out gelu(y_t))                   W_out (2D, D)

All products are per channel. J is the least at which a_J sees max_seq_len positions.

Differences from the paper: no bias in W_out; filters and weights are drawn at random, as in its
ListOps run, never from a wavelet; the convolutions are sums of shifted sequences. It looks back
only, as there: there is no bidirectional form.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class MultiresConvolution(Mechanism):
    """J levels of dilated convolutions with the same two filters; time O(L log L)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "kernel_width": {"type": "int", "low": 2, "high": 8},
    }

    def __init__(self, config: MechanismConfig, kernel_width: int = 4) -> None:
        """kernel_width: positions that a filter sees. Raises ValueError below 2 or not causal."""
        super().__init__(config)
        if not config.causal:
            raise ValueError(
                "MultiresLayer has no bidirectional form, build it with config.causal True"
            )
        if kernel_width < 2:
            raise ValueError(f"kernel_width must be at least 2, found {kernel_width}")
        d_model = config.d_model
        reach = 1.0 + (config.max_seq_len - 1) / (kernel_width - 1)
        num_levels = max(1, math.ceil(math.log2(reach)))
        self.filters_RID = nn.Parameter(torch.empty(2, kernel_width, d_model))
        self.weights_JD = nn.Parameter(torch.empty(num_levels + 1, d_model))
        self.skip_D = nn.Parameter(torch.empty(d_model))
        self.out = nn.Linear(d_model, 2 * d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for parameter, fan in (
            (self.filters_RID, kernel_width),
            (self.weights_JD, num_levels + 2),
            (self.skip_D, 1),
        ):
            nn.init.uniform_(parameter, -1.0 / math.sqrt(fan), 1.0 / math.sqrt(fan))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, and no real position looks there.
        """
        with torch.autocast(x.device.type, enabled=False):
            coarse_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            y_BLD = self.skip_D * coarse_BLD
            for level, weight_D in enumerate(self.weights_JD[1:]):
                coarse_BLD, detail_BLD = self._split(coarse_BLD, 1 << level)
                y_BLD = y_BLD + weight_D * detail_BLD
            y_BLD = y_BLD + self.weights_JD[0] * coarse_BLD
        out_BLD: Tensor = self.dropout(F.glu(self.out(F.gelu(y_BLD)), dim=-1))
        return out_BLD

    def _split(self, x_BLD: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
        """Both filters, their taps `dilation` apart; a tap before the first position is zero."""
        length = x_BLD.shape[1]
        lags = range(0, min(length, self.filters_RID.shape[1] * dilation), dilation)
        padded_BMD = F.pad(x_BLD, (0, 0, lags[-1], 0))
        coarse_BLD, detail_BLD = self.filters_RID[0, 0] * x_BLD, self.filters_RID[1, 0] * x_BLD
        for tap, lag in enumerate(lags[1:], start=1):
            shifted_BLD = padded_BMD[:, lags[-1] - lag :][:, :length]
            coarse_BLD = coarse_BLD + self.filters_RID[0, tap] * shifted_BLD
            detail_BLD = detail_BLD + self.filters_RID[1, tap] * shifted_BLD
        return coarse_BLD, detail_BLD
