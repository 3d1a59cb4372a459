"""RWKV: a weighted mean over the past whose weights fade with the lag, channel by channel.

Peng et al., "RWKV: Reinventing RNNs for the Transformer Era", 2023 (arXiv:2305.13048), section
3.1, time mixing (RWKV-4), and its code in BlinkDL/RWKV-LM.

    r_t, k_t, v_t = W (mu * x_t + (1 - mu) * x_(t-1))      W (D, D), mu (D,), for each of r, k, v
    num_t = sum_(s<t) exp(k_s - (t - 1 - s) w) v_s + exp(bonus + k_t) v_t          per channel
    den_t = sum_(s<t) exp(k_s - (t - 1 - s) w) + exp(bonus + k_t)
    out_t = W_out (sigmoid(r_t) * num_t / den_t)   W_out (D, D), w = exp(log_w) (D,), bonus (D,)

Differences from the paper: the projections start as PyTorch's do, where the authors' code starts
those of r, k and the output at zero; mu, w and bonus start as in that code. Channel mixing is the
host's business. The sums are made by an odd-even scan over positions, each with the largest
exponent taken out of it, in float32 under autocast. There are no heads.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

EMPTY = -1e38  # the exponent of a sum of nothing: finite, so that no difference of two is NaN


class RWKV(Mechanism):
    """Time mixing of RWKV-4; time O(L), decoding state four rows of (D,)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig) -> None:
        """Raises ValueError unless `config.causal`: the paper has no other form."""
        super().__init__(config)
        if not config.causal:
            raise ValueError("RWKV has no bidirectional form, build it with config.causal True")
        d_model = config.d_model
        self.receptance = nn.Linear(d_model, d_model, bias=False)
        self.key = nn.Linear(d_model, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        depth = config.layer_index / max(config.num_layers - 1, 1)  # from 0 to 1
        rest = 1.0 - config.layer_index / config.num_layers  # from 1 to nearly 0
        channel_D = torch.arange(d_model)
        part_D = channel_D / d_model
        self.mix_r_D = nn.Parameter(part_D ** (0.5 * rest))
        self.mix_k_D = nn.Parameter(part_D**rest)
        self.mix_v_D = nn.Parameter(part_D**rest + 0.3 * depth)
        speed_D = (channel_D / max(d_model - 1, 1)) ** (0.7 + 1.3 * depth)
        self.log_w_D = nn.Parameter(8.0 * speed_D - 5.0)
        self.bonus_D = nn.Parameter(math.log(0.3) + 0.5 * ((channel_D + 1) % 3 - 1))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        r_BLD, k_BLD, v_BLD = self._project(x, F.pad(x[:, :-1], (0, 0, 1, 0)))
        with torch.autocast(x.device.type, enabled=False):
            top_BL1D, sums_BL2D = _single(k_BLD, v_BLD)
            before = _before(*_scan(top_BL1D, sums_BL2D, self.log_w_D.exp()))
            y_BLD = _ratio(*_add(*before, top_BL1D + self.bonus_D, sums_BL2D))
            y_BLD = r_BLD.to(y_BLD.dtype).sigmoid() * y_BLD
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The last input `(B, D)` and sums of nothing: exponent `(B, 1, D)`, sums `(B, 2, D)`."""
        d_model = self.config.d_model
        last_BD = torch.zeros(batch_size, d_model, device=device, dtype=dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        top_B1D = torch.full((batch_size, 1, d_model), EMPTY, device=device, dtype=dtype)
        return last_BD, top_B1D, torch.zeros(batch_size, 2, d_model, device=device, dtype=dtype)

    def step(
        self, x_t: Tensor, state: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        last_BD, top_B1D, sums_B2D = state
        r_BD, k_BD, v_BD = self._project(x_t, last_BD)
        with torch.autocast(x_t.device.type, enabled=False):
            now_B1D, now_B2D = _single(k_BD, v_BD)
            y_BD = _ratio(*_add(top_B1D, sums_B2D, now_B1D + self.bonus_D, now_B2D))
            y_BD = r_BD.to(y_BD.dtype).sigmoid() * y_BD
            top_B1D, sums_B2D = _add(top_B1D - self.log_w_D.exp(), sums_B2D, now_B1D, now_B2D)
        out_BD: Tensor = self.dropout(self.out(y_BD))
        return out_BD, (x_t, top_B1D, sums_B2D)

    def _project(self, x: Tensor, last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """r, k, v of inputs `(..., D)` and of those one position before."""
        return (
            self.receptance(torch.lerp(last, x, self.mix_r_D.to(x.dtype))),
            self.key(torch.lerp(last, x, self.mix_k_D.to(x.dtype))),
            self.value(torch.lerp(last, x, self.mix_v_D.to(x.dtype))),
        )


def _single(k_BLD: Tensor, v_BLD: Tensor) -> tuple[Tensor, Tensor]:
    """The sums num and den `(B, L, 2, D)` over one position each, less their exponent.

    A sum is exp(top) times what is held, and top is no part of the graph: it cancels, and the
    gradient of k goes through what is held.
    """
    dtype = torch.promote_types(k_BLD.dtype, torch.float32)
    k_BLD, v_BLD = k_BLD.to(dtype), v_BLD.to(dtype)
    top_BLD = k_BLD.detach()
    weight_BLD = (k_BLD - top_BLD).exp()
    return top_BLD.unsqueeze(-2), torch.stack([weight_BLD * v_BLD, weight_BLD], dim=-2)


def _add(
    top_a_BL1D: Tensor, a_BL2D: Tensor, top_b_BL1D: Tensor, b_BL2D: Tensor
) -> tuple[Tensor, Tensor]:
    """The sum of two pairs of sums."""
    top_BL1D = torch.maximum(top_a_BL1D, top_b_BL1D).detach()
    a_BL2D, b_BL2D = (top_a_BL1D - top_BL1D).exp() * a_BL2D, (top_b_BL1D - top_BL1D).exp() * b_BL2D
    return top_BL1D, a_BL2D + b_BL2D


def _ratio(top_BL1D: Tensor, sums_BL2D: Tensor) -> Tensor:
    num_BLD, den_BLD = sums_BL2D.unbind(-2)
    return num_BLD / den_BLD


def _before(top_BL1D: Tensor, sums_BL2D: Tensor) -> tuple[Tensor, Tensor]:
    """The sums one position before; nothing comes before the first."""
    shift = (0, 0, 0, 0, 1, 0)
    return F.pad(top_BL1D[:, :-1], shift, value=EMPTY), F.pad(sums_BL2D[:, :-1], shift)


def _scan(top_BL1D: Tensor, sums_BL2D: Tensor, fade_D: Tensor) -> tuple[Tensor, Tensor]:
    """The sums up to each position, faded by `fade_D` for each one passed.

    By pairs: at the odd positions from a sequence half as long, then at the even ones.
    """
    length = top_BL1D.shape[1]
    if length == 1:
        return top_BL1D, sums_BL2D
    filler = (0, 0, 0, 0, 0, length % 2)
    top_BL1D, sums_BL2D = F.pad(top_BL1D, filler), F.pad(sums_BL2D, filler)
    even = top_BL1D[:, ::2], sums_BL2D[:, ::2]
    pair = _add(even[0] - fade_D, even[1], top_BL1D[:, 1::2], sums_BL2D[:, 1::2])
    odd = _scan(*pair, 2.0 * fade_D)
    top_BP1D, sums_BP2D = _before(*odd)
    even = _add(top_BP1D - fade_D, sums_BP2D, *even)
    both_BL1D, both_BL2D = (
        torch.stack(parts, dim=2).flatten(1, 2)[:, :length] for parts in zip(even, odd, strict=True)
    )
    return both_BL1D, both_BL2D
