"""Attention Free Transformer: a weighted mean for each channel, its weights a key and a position.

Zhai et al., "An Attention Free Transformer", 2021 (arXiv:2105.14103), equations 2 (full), 4 (local)
and 5 (simple), biases factorised as in section 3.2.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (D,)
    w_ts = left_t . right_s                        left, right (max_seq_len, R); w_ts = 0 for all
                                                   t, s in "simple", for |t - s| >= window in
                                                   "local"
    y_t = sum_s exp(k_s + w_ts) v_s / sum_s exp(k_s + w_ts)        per channel; s <= t when causal
    out_t = W_out (sigmoid(q_t) * y_t)             W_out (D, D)

Differences from the paper: no biases of the projections; no AFT-conv; w is cut at -30 and 30, so
that exp(w), an (L, L) matrix the same for all channels, can be multiplied with exp(k) (L, D); the
number of heads plays no part. R is at most max_seq_len / 2, where the factors are as large as the
table they stand for; at length 4,096 they have a million parameters. All of it runs in float32
under autocast.

The largest key that a position sees is subtracted before exp. Without causality that is one number
for each channel. With it, blocks of 1, 2, 4, ... positions see the block before them: of each level
one matrix product, scaled by the largest key of the block that is seen, joins what the smaller
blocks gave; the (L, L, D) numbers of the equation are never made.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

VARIANTS = ("full", "local", "simple")
LARGEST_BIAS = 30.0
INITIAL_DEVIATION = 0.02


class AttentionFree(Mechanism):
    """AFT; time O(L^2 D), of "simple" O(L D), or O(L log L D) when causal."""

    claimed_cost: ClassVar[float | None] = 2.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "variant": {"type": "categorical", "choices": ["full", "local", "simple"]},
        "bias_rank": {"type": "categorical", "choices": [64, 128, 256]},
        "window": {"type": "categorical", "choices": [32, 64, 128, 256]},
    }

    def __init__(
        self,
        config: MechanismConfig,
        variant: str = "full",
        bias_rank: int = 128,
        window: int = 32,
    ) -> None:
        """variant: one of VARIANTS. bias_rank: R. window: of "local".

        Raises ValueError when one of them makes no sense.
        """
        super().__init__(config)
        if variant not in VARIANTS:
            raise ValueError(f'variant must be one of {VARIANTS}, found "{variant}"')
        if bias_rank < 1:
            raise ValueError(f"bias_rank must be at least 1, found {bias_rank}")
        if window < 1:
            raise ValueError(f"window must be at least 1, found {window}")
        self.variant, self.window = variant, window
        if variant != "simple":
            rank = min(bias_rank, max(config.max_seq_len // 2, 1))
            self.left_LR = nn.Parameter(INITIAL_DEVIATION * torch.randn(config.max_seq_len, rank))
            self.right_LR = nn.Parameter(INITIAL_DEVIATION * torch.randn(config.max_seq_len, rank))
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        # Not x.device.type, which refuses the meta device, on which costs are counted by shape.
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
            q_BLD, k_BLD, v_BLD = qkv_BLE.chunk(3, dim=2)
            if self.config.causal:  # padding stands on the right: no real position sees it
                sums_BLE = self._causal(k_BLD, v_BLD)
            else:
                if key_padding_mask is not None:
                    k_BLD = k_BLD.masked_fill(_hidden_keys(key_padding_mask), -torch.inf)
                sums_BLE = self._bidirectional(k_BLD, v_BLD)
            weighted_BLD, total_BLD = sums_BLE.chunk(2, dim=2)
            y_BLD = q_BLD.sigmoid() * weighted_BLD / total_BLD
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def _bidirectional(self, k_BLD: Tensor, v_BLD: Tensor) -> Tensor:
        """`(B, L, E)`, or `(B, 1, E)` if equal for all: sums with and without v."""
        terms_BLE = _terms(k_BLD, v_BLD, k_BLD.amax(1, keepdim=True))
        if self.variant == "simple":
            return terms_BLE.sum(1, keepdim=True)
        length = k_BLD.shape[1]
        left_LR, right_LR = self.left_LR[:length], self.right_LR[:length]
        return self._exp_biases(left_LR, right_LR, 0) @ terms_BLE

    def _causal(self, k_BLD: Tensor, v_BLD: Tensor) -> Tensor:
        """Sums over s <= t with and without v, `(B, L, E)`, relative to the largest key."""
        length = k_BLD.shape[1]
        num_levels = (length - 1).bit_length()
        padding = (0, 0, 0, 2**num_levels - length)
        k_BLD, v_BLD = F.pad(k_BLD, padding), F.pad(v_BLD, padding)
        largest_BLD, sums_BLE = k_BLD, _terms(k_BLD, v_BLD, k_BLD)
        if self.variant != "simple":
            left_LR = F.pad(self.left_LR[:length], padding)
            right_LR = F.pad(self.right_LR[:length], padding)
            biases_L1 = (left_LR * right_LR).sum(1, keepdim=True)
            sums_BLE = sums_BLE * biases_L1.clamp(-LARGEST_BIAS, LARGEST_BIAS).exp()
        for size in (2**level for level in range(num_levels)):
            (k_BGID, _), (v_BGID, _) = _pairs(k_BLD, size), _pairs(v_BLD, size)
            peak_BG1D = k_BGID.amax(2, keepdim=True)
            seen_BGIE = _terms(k_BGID, v_BGID, peak_BG1D)
            if self.variant == "simple":
                seen_BGIE = seen_BGIE.sum(2, keepdim=True)
            else:
                _, left_1GIR = _pairs(left_LR[None], size)
                right_1GIR, _ = _pairs(right_LR[None], size)
                seen_BGIE = self._exp_biases(left_1GIR, right_1GIR, size) @ seen_BGIE
            largest_BLD, sums_BLE = _join(
                _pairs(largest_BLD, size), _pairs(sums_BLE, size), peak_BG1D, seen_BGIE
            )
        return sums_BLE[:, :length]

    def _exp_biases(self, left_IR: Tensor, right_IR: Tensor, ahead: int) -> Tensor:
        """exp(w) of positions that stand `ahead` of those that they see; leading axes are kept."""
        w_II = (left_IR @ right_IR.transpose(-1, -2)).clamp(-LARGEST_BIAS, LARGEST_BIAS)
        if self.variant == "local":
            i_I = torch.arange(w_II.shape[-1], device=w_II.device)
            far_II = (ahead + i_I[:, None] - i_I).abs() >= self.window
            w_II = w_II.masked_fill(far_II, 0.0)
        return w_II.exp()


def _hidden_keys(key_padding_mask: Tensor) -> Tensor:
    """`(B, L, 1)`, True = takes no part.

    Position 0 always does: it is real unless the whole row is padding, which would divide by 0.
    """
    hidden_BL = key_padding_mask.clone()
    hidden_BL[:, 0] = False
    return hidden_BL[:, :, None]


def _terms(k_BLD: Tensor, v_BLD: Tensor, largest_BLD: Tensor) -> Tensor:
    """exp(k) v and exp(k) relative to exp(largest), side by side in the last axis."""
    exp_BLD = (k_BLD - largest_BLD).exp()
    return torch.cat([exp_BLD * v_BLD, exp_BLD], dim=-1)


def _pairs(part_BLE: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """The first and the second block of each of G pairs of blocks, `(B, G, I, E)`."""
    first_BGIE, second_BGIE = rearrange(part_BLE, "B (G J I) E -> J B G I E", J=2, I=size)
    return first_BGIE, second_BGIE


def _join(
    largest: tuple[Tensor, Tensor],
    sums: tuple[Tensor, Tensor],
    peak_BG1D: Tensor,
    seen_BGIE: Tensor,
) -> tuple[Tensor, Tensor]:
    """The second block of each pair joins what it sees of the first; all in one line again."""
    joined_BGID = largest[1].maximum(peak_BG1D)
    own_BGID, other_BGID = (largest[1] - joined_BGID).exp(), (peak_BG1D - joined_BGID).exp()
    joined_BGIE = sums[1] * torch.cat([own_BGID, own_BGID], dim=-1)
    joined_BGIE = joined_BGIE + seen_BGIE * torch.cat([other_BGID, other_BGID], dim=-1)
    largest_BLD = torch.stack([largest[0], joined_BGID], dim=2).flatten(1, 3)
    return largest_BLD, torch.stack([sums[0], joined_BGIE], dim=2).flatten(1, 3)
