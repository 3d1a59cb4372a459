"""FNet: the real part of a Fourier transform over channels and positions, and no parameter.

Lee-Thorp et al., "FNet: Mixing Tokens with Fourier Transforms", 2021 (arXiv:2105.03824),
equations 1 and 3.

    X = F_n F_D x                                  F_D over the D channels, F_n over the n
                                                   positions that are real; n may differ by row
    out = Re(X) / sqrt(n D)

Differences from the paper: the factor 1 / sqrt(n D), which keeps the size of the input; the paper
normalises right after the sum with the residual, and this host does not. The transform is over the
real positions of each row and not over the padded length. Rows of different n are transformed
together by Bluestein's algorithm: t k = (t^2 + k^2 - (k - t)^2) / 2 makes a transform of any n a
convolution with a chirp, for which zero-padded FFTs of one size serve all rows; its angles are
taken from t^2 modulo 2 n in integers. It runs in float32 under autocast. There is no causal form.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class FNet(Mechanism):
    """Two Fourier transforms; time O(L log L)."""

    claimed_cost: ClassVar[float | None] = 1.0
    supports_causal: ClassVar[bool] = False

    def __init__(self, config: MechanismConfig) -> None:
        """Raises ValueError when the mode is causal."""
        super().__init__(config)
        if config.causal:
            raise ValueError("FNet transforms all positions: build it with causal False")
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            if key_padding_mask is None:
                y_BLD = torch.fft.fft2(x_BLD, dim=(1, 2), norm="ortho").real
            else:
                x_BLD = x_BLD.masked_fill(key_padding_mask[:, :, None], 0.0)
                channels_BLD = torch.fft.fft(x_BLD, dim=2, norm="ortho")
                n_B1 = (~key_padding_mask).sum(1, keepdim=True).clamp(min=1)
                y_BLD = _transform(channels_BLD, n_B1).real
        out_BLD: Tensor = self.dropout(y_BLD.to(_output_dtype(x)))
        return out_BLD


def _output_dtype(x_BLD: Tensor) -> torch.dtype:
    """What a linear layer would answer with: no layer of this mechanism does it by itself."""
    device = x_BLD.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x_BLD.dtype


def _transform(x_BLD: Tensor, n_B1: Tensor) -> Tensor:
    """Orthonormal transforms of the first n positions of each row; what is at n or later is void.

    x_BLD: complex, zero from n on.
    """
    length = x_BLD.shape[1]
    size = _fast_size(2 * length - 1)
    t_L = torch.arange(length, device=x_BLD.device)
    # Modulo 2 n, as the angle of a large t^2 would lose the digits that count.
    angle_BL = (t_L.square() % (2 * n_B1)).to(x_BLD.real.dtype) * -math.pi / n_B1
    chirp_BL = torch.polar(torch.ones_like(angle_BL), angle_BL)
    # conj(chirp) at the lags 0..L-1 and, at the end of the circle, at -(L-1)..-1
    filter_BM = F.pad(chirp_BL.conj(), (0, size - length)) + F.pad(
        chirp_BL[:, 1:].flip(1).conj(), (size - length + 1, 0)
    )
    spectrum_BMD = torch.fft.fft(x_BLD * chirp_BL[:, :, None], n=size, dim=1)
    spectrum_BMD = spectrum_BMD * torch.fft.fft(filter_BM, dim=1)[:, :, None]
    y_BLD: Tensor = torch.fft.ifft(spectrum_BMD, dim=1)[:, :length]
    return y_BLD * chirp_BL[:, :, None] * n_B1[:, :, None].to(angle_BL.dtype).rsqrt()


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
