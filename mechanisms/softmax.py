"""Softmax attention: every position weighs every other one it may see.

Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), section 3.2.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     over the s that t may see, per head
    out_t = W_out y_t                              W_out (D, D)

Differences from the paper: no biases; dropout on the output and not on the weights, so that the
fused kernels of `scaled_dot_product_attention` serve training too.
"""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class SoftmaxAttention(Mechanism):
    """Multi-head softmax attention; time and weights O(L^2)."""

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
            q_BHLK, k_BHSK, v_BHSK, attn_mask=mask_B11S, is_causal=self.config.causal
        )
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD


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
