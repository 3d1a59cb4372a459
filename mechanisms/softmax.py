"""Softmax attention: every position weighs every other one it may see.

Vaswani et al., "Attention Is All You Need", 2017 (arXiv:1706.03762), section 3.2.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     over the s that t may see, per head
    out_t = W_out y_t                              W_out (D, D)

Differences from the paper: no biases; dropout on the output and not on the weights, so that the
fused kernels of `scaled_dot_product_attention` serve training too.

`kernel` says what computes y: `auto` is whatever PyTorch chooses for the device, dtype and mask;
`math`, `flash`, `efficient` and `cudnn` are its kernels by name; `flash-attn` is the package of
that name, on CUDA and in 16 bits, which leaves padding out instead of masking it. A kernel that
cannot compute the call is an error.
"""

from __future__ import annotations

import functools
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lra_design import Mechanism, MechanismConfig
from lra_design.kernels import load_kernel

BACKENDS = {
    "math": SDPBackend.MATH,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}
CHOICES = ("auto", *BACKENDS, "flash-attn")


class SoftmaxAttention(Mechanism):
    """Multi-head softmax attention; time O(L^2), memory O(L) where a fused kernel computes it."""

    claimed_cost: ClassVar[float | None] = 2.0

    def __init__(self, config: MechanismConfig, kernel: str = "auto") -> None:
        """Raises ValueError for a kernel that is none, or that this machine has not."""
        super().__init__(config)
        if kernel not in CHOICES:
            raise ValueError(f"kernel must be one of {', '.join(CHOICES)}, found '{kernel}'")
        self.kernel = kernel
        if kernel == "flash-attn":
            self.dense, self.ragged = load_kernel(kernel), load_kernel("flash-attn-varlen")
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        q_BLHK, k_BSHK, v_BSHK = rearrange(
            self.qkv(x), "B L (three H K) -> three B L H K", three=3, H=self.config.num_heads
        )
        # Padding stands on the right, so the causal mask hides it from every real position; the
        # flag alone keeps the fused kernels, which a mask besides it would rule out.
        visible_BS = None if self.config.causal else _visible_keys(key_padding_mask)
        y_BLHK = self._attend(q_BLHK, k_BSHK, v_BSHK, visible_BS)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BLHK, "B L H K -> B L (H K)")))
        return out_BLD

    def _attend(
        self, q_BLHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, visible_BS: Tensor | None
    ) -> Tensor:
        if self.kernel == "flash-attn":
            return self._flash_attention(q_BLHK, k_BSHK, v_BSHK, visible_BS)
        attend = functools.partial(
            F.scaled_dot_product_attention,
            q_BLHK.transpose(1, 2),
            k_BSHK.transpose(1, 2),
            v_BSHK.transpose(1, 2),
            attn_mask=None if visible_BS is None else visible_BS[:, None, None, :],
            is_causal=self.config.causal,
        )
        if self.kernel == "auto":
            return attend().transpose(1, 2)
        with sdpa_kernel(BACKENDS[self.kernel]):
            return attend().transpose(1, 2)

    def _flash_attention(
        self, q_BLHK: Tensor, k_BSHK: Tensor, v_BSHK: Tensor, visible_BS: Tensor | None
    ) -> Tensor:
        """Rows of different lengths are packed one after the other; padding gets zeros."""
        if visible_BS is None:
            y_BLHK: Tensor = self.dense(q_BLHK, k_BSHK, v_BSHK, causal=self.config.causal)
            return y_BLHK
        ends_B = visible_BS.sum(1).cumsum(0)
        offsets = F.pad(ends_B, (1, 0)).to(torch.int32)
        packed = (part[visible_BS] for part in (q_BLHK, k_BSHK, v_BSHK))
        longest = q_BLHK.shape[1]
        y_BLHK = torch.zeros_like(q_BLHK)
        y_BLHK[visible_BS] = self.ragged(*packed, offsets, offsets, longest, longest)
        return y_BLHK


def _visible_keys(key_padding_mask: Tensor | None) -> Tensor | None:
    """`(B, S)`, True = takes part.

    Position 0 always does: it is real unless the whole row is padding, and what a kernel answers
    to a row with nothing to attend to is not documented.
    """
    if key_padding_mask is None:
        return None
    visible_BS = ~key_padding_mask
    visible_BS[:, 0] = True
    return visible_BS
