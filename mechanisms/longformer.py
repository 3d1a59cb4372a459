"""Longformer attention: a sliding window, and a global token that sees all and that all see.

Beltagy, Peters and Cohan, "Longformer: The Long-Document Transformer", 2020 (arXiv:2004.05150),
section 3.1: sliding window, dilated sliding window, global attention.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     per head with dilation d, over the s with
          (t - s) mod d = 0  and  0 <= t - s < w d  when causal, |t - s| <= (w // 2) d  when not;
          when not causal also s = 0, and for t = 0 every s
    out_t = W_out y_t                              W_out (D, D)

The global token is the first one, where the paper's classifiers have theirs. When causal there is
none, as in the paper's language models. d is 1 in the first half of the heads (rounded up) and the
hyperparameter in the others, so that some keep to what is near.

Differences from the paper: the global token shares the projections of the others, which is one
of the paper's ablations (a second W_qkv would be more parameters than a mechanism may have); no
biases; the same window and dilation in every layer, where the paper's language models widen
both with depth; no dilation by default, as in its encoders; dropout on the output and not on the
weights. Each residue of positions mod d is cut into blocks, the queries of which meet the keys that
any of them may see: time and memory O(L w).
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

LEAST_BLOCK = 64


class LongformerAttention(Mechanism):
    """Multi-head attention within a window of `window` positions and to a global token."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "window": {"type": "int", "low": 32, "high": 512, "log": True},
        "dilation": {"type": "int", "low": 1, "high": 4},
    }

    def __init__(self, config: MechanismConfig, window: int = 512, dilation: int = 1) -> None:
        """dilation: the step between the keys of a window, in the second half of the heads.

        Raises ValueError when the window has no room for a neighbour, or the dilation is below 1.
        """
        super().__init__(config)
        if window < 2:
            raise ValueError(f"window must be at least 2, found {window}")
        if dilation < 1:
            raise ValueError(f"dilation must be at least 1, found {dilation}")
        self.back = window - 1 if config.causal else window // 2
        self.ahead = 0 if config.causal else window // 2
        self.block = max(window // 2, LEAST_BLOCK)
        self.dilation = dilation
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_NBHLK = rearrange(
            self.qkv(x), "B L (three H K) -> three B H L K", three=3, H=self.config.num_heads
        )
        if key_padding_mask is None or self.config.causal:
            # Padding stands on the right, so causality hides it from every real position.
            real_BL = x.new_ones(x.shape[:2], dtype=torch.bool)
        else:
            real_BL = ~key_padding_mask
        if self.dilation == 1:
            y_BHLK = self._in_windows(qkv_NBHLK, real_BL, 1)
        else:
            near_NBHLK, far_NBHLK = qkv_NBHLK.tensor_split([(qkv_NBHLK.shape[2] + 1) // 2], dim=2)
            y_near_BHLK = self._in_windows(near_NBHLK, real_BL, 1)
            y_far_BHLK = self._in_windows(far_NBHLK, real_BL, self.dilation)
            y_BHLK = torch.cat([y_near_BHLK, y_far_BHLK], dim=1)
        if not self.config.causal:
            y_BH1K = _of_the_global_token(qkv_NBHLK, real_BL)
            y_BHLK = torch.cat([y_BH1K, y_BHLK[:, :, 1:]], dim=2)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _in_windows(self, qkv_NBHLK: Tensor, real_BL: Tensor, dilation: int) -> Tensor:
        """`(B, H, L, K)`: attention to the window and, unless causal, to the global token.

        A row R is one residue mod the dilation of one example, of U positions.
        """
        length, gap = real_BL.shape[1], -real_BL.shape[1] % dilation
        qkv_NRHUK = rearrange(
            F.pad(qkv_NBHLK, (0, 0, 0, gap)), "N B H (U d) K -> N (B d) H U K", d=dilation
        )
        if not self.config.causal:  # the global token has a key beside those of the window
            real_BL = real_BL & (torch.arange(length, device=real_BL.device) > 0)
        real_RU = rearrange(F.pad(real_BL, (0, gap)), "B (U d) -> (B d) U", d=dilation)
        size = real_RU.shape[1]
        block = min(self.block, size)
        back, ahead = min(self.back, size - 1), min(self.ahead, size - 1)
        fill, span = -size % block, back + block + ahead
        q_RCHIK = rearrange(
            F.pad(qkv_NRHUK[0], (0, 0, 0, fill)), "R H (C I) K -> (R C) H I K", I=block
        )
        kv_NRCHJK = rearrange(
            F.pad(qkv_NRHUK[1:], (0, 0, back, ahead + fill)).unfold(3, span, block),
            "N R H C K J -> N (R C) H J K",
        )
        visible_RCIJ = _in_sight(F.pad(real_RU, (back, ahead + fill)), block, back, ahead)
        if not self.config.causal:
            global_NRCH1K = repeat(
                qkv_NBHLK[1:, :, :, 0],
                "N B H K -> N (B d C) H 1 K",
                d=dilation,
                C=visible_RCIJ.shape[1],
            )
            kv_NRCHJK = torch.cat([global_NRCH1K, kv_NRCHJK], dim=3)
            visible_RCIJ = F.pad(visible_RCIJ, (1, 0), value=True)
        y_RCHIK = F.scaled_dot_product_attention(
            q_RCHIK, kv_NRCHJK[0], kv_NRCHJK[1], attn_mask=visible_RCIJ.flatten(0, 1)[:, None]
        )
        y_BHLK = rearrange(
            y_RCHIK,
            "(B d C) H I K -> B H (C I d) K",
            d=dilation,
            C=visible_RCIJ.shape[1],
        )
        return y_BHLK[:, :, :length]


def _of_the_global_token(qkv_NBHLK: Tensor, real_BL: Tensor) -> Tensor:
    """`(B, H, 1, K)`: what the first position sees, which is everything real and itself."""
    first_L = torch.arange(real_BL.shape[1], device=real_BL.device) == 0
    return F.scaled_dot_product_attention(
        qkv_NBHLK[0, :, :, :1],
        qkv_NBHLK[1],
        qkv_NBHLK[2],
        attn_mask=(real_BL | first_L)[:, None, None],
    )


def _in_sight(padded_RU: Tensor, block: int, back: int, ahead: int) -> Tensor:
    """`(R, C, I, J)`, True = takes part; padded is True where there is a real position.

    Each position sees itself, padding too: what a kernel answers to a row with nothing to attend
    to is not documented.
    """
    span = back + block + ahead
    real_RC1J = padded_RU.unfold(1, span, block)[:, :, None]
    i_I1 = torch.arange(block, device=padded_RU.device)[:, None]
    offset_IJ = torch.arange(span, device=padded_RU.device) - back - i_I1
    in_window_IJ = (offset_IJ >= -back) & (offset_IJ <= ahead)
    return in_window_IJ & (real_RC1J | (offset_IJ == 0))
