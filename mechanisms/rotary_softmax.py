"""Rotary softmax attention: queries and keys are turned by their position, so scores see distance.

Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021
(arXiv:2104.09864), section 3, equations 14-16.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    R_t: rotation of the pair of channels (2i, 2i + 1) by the angle t * 10000^(-2i / K)
    y_t = sum_s softmax_s((R_t q_t) . (R_s k_s) / sqrt(K)) v_s   over the s that t may see, per head
    out_t = W_out y_t                              W_out (D, D)

Since (R_t q) . (R_s k) = q . (R_(s - t) k), a score depends on the positions by their distance
alone. Attention of this kind has the highest results on LRA of those from attention alone, when
pretrained on the task's own inputs: Amos et al., "Never Train from Scratch", 2023
(arXiv:2310.02980).

Differences from the paper: no biases; where K is odd the last channel is not turned; dropout on the
output and not on the weights, so that the fused kernels of `scaled_dot_product_attention` serve
training too. Angles are computed in float64 and the rotation in float32 at least.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

BASE = 10_000.0


class RotarySoftmaxAttention(Mechanism):
    """Multi-head softmax attention with rotary positions; time and weights O(L^2)."""

    claimed_cost: ClassVar[float | None] = 2.0

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        q_BHLK, k_BHSK, v_BHSK = rearrange(
            self.qkv(x), "B L (three H K) -> three B H L K", three=3, H=self.config.num_heads
        )
        # Padding stands on the right, so the causal mask hides it from every real position; the
        # flag alone keeps the fused kernels, which a mask besides it would rule out.
        mask_B11S = None if self.config.causal else _visible_keys(key_padding_mask)
        y_BHLK = F.scaled_dot_product_attention(
            _rotated(q_BHLK),
            _rotated(k_BHSK),
            v_BHSK,
            attn_mask=mask_B11S,
            is_causal=self.config.causal,
        )
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD


def _rotated(part_BHLK: Tensor) -> Tensor:
    """Every pair of channels turned by its angle at its position."""
    length, width = part_BHLK.shape[2:]
    position_L = torch.arange(length, device=part_BHLK.device, dtype=torch.float64)
    channel_P = torch.arange(0, width - 1, 2, device=part_BHLK.device, dtype=torch.float64)
    angle_LP = position_L[:, None] * BASE ** (-channel_P / width)
    dtype = torch.promote_types(part_BHLK.dtype, torch.float32)
    cos_LP, sin_LP = angle_LP.cos().to(dtype), angle_LP.sin().to(dtype)
    turning_BHLE, last_BHLE = part_BHLK.to(dtype).tensor_split([width // 2 * 2], dim=3)
    even_BHLP, odd_BHLP = turning_BHLE[..., 0::2], turning_BHLE[..., 1::2]
    turned_BHLP2 = torch.stack(
        [even_BHLP * cos_LP - odd_BHLP * sin_LP, even_BHLP * sin_LP + odd_BHLP * cos_LP], dim=4
    )
    return torch.cat([turned_BHLP2.flatten(3), last_BHLE], dim=3).to(part_BHLK.dtype)


def _visible_keys(key_padding_mask: Tensor | None) -> Tensor | None:
    """`(B, 1, 1, S)`, True = takes part.

    Position 0 always does: it is real unless the whole row is padding, and what a kernel answers
    to a row with nothing to attend to is not documented.
    """
    if key_padding_mask is None:
        return None
    visible_BS = ~key_padding_mask
    visible_BS[:, 0] = True
    return visible_BS[:, None, None, :]
