"""Local attention: softmax attention to the neighbourhood of each position.

Beltagy, Peters and Cohan, "Longformer: The Long-Document Transformer", 2020 (arXiv:2004.05150),
section 3.1, the sliding window.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     per head, over
          0 <= t - s < w  when causal, |t - s| <= w // 2  when not
    out_t = W_out y_t                              W_out (D, D)

Differences from the paper: no global tokens, no dilation, no biases, the same window in every
layer. The sequence is cut into C blocks of I = max(w, 64) positions, large enough to be worth a
matrix product; the queries of a block meet the J <= 2 I keys that any of them may see, so time
and memory are O(L I) and no L x L mask is made.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

LEAST_BLOCK = 64


class LocalWindowAttention(Mechanism):
    """Multi-head softmax attention within a window of `window` positions."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "window": {"type": "int", "low": 4, "high": 64, "log": True},
    }

    def __init__(self, config: MechanismConfig, window: int = 16) -> None:
        """Raises ValueError when the window has no room for a neighbour."""
        super().__init__(config)
        if window < 2:
            raise ValueError(f"window must be at least 2, found {window}")
        self.back = window - 1 if config.causal else window // 2
        self.ahead = 0 if config.causal else window // 2
        self.block = max(window, LEAST_BLOCK)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        batch_size, length, d_model = x.shape
        q_BLD, kv_BLE = torch.tensor_split(self.qkv(x), [d_model], dim=2)
        q_NHIK = rearrange(
            self._blocks(q_BLD), "B C I (H K) -> (B C) H I K", H=self.config.num_heads
        )
        k_NHJK, v_NHJK = rearrange(
            self._with_neighbours(self._blocks(kv_BLE)),
            "B C J (two H K) -> two (B C) H J K",
            two=2,
            H=self.config.num_heads,
        )
        if key_padding_mask is None or self.config.causal:
            # Padding stands on the right, so causality hides it from every real position.
            real_BL = x.new_ones(1, length, dtype=torch.bool)
        else:
            real_BL = ~key_padding_mask
        mask_BCIJ = self._visible_keys(real_BL).expand(batch_size, -1, -1, -1)
        y_NHIK = F.scaled_dot_product_attention(
            q_NHIK, k_NHJK, v_NHJK, attn_mask=mask_BCIJ.flatten(0, 1)[:, None]
        )
        y_BLD = rearrange(y_NHIK, "(B C) H I K -> B (C I) (H K)", B=batch_size)[:, :length]
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def _blocks(self, part_BLE: Tensor) -> Tensor:
        """`(B, C, I, E)`, the last block filled with zeros; one block of L if the sequence fits."""
        length = part_BLE.shape[1]
        if length <= self.block:
            return part_BLE[:, None]
        padded_BLE = F.pad(part_BLE, (0, 0, 0, -length % self.block))
        return rearrange(padded_BLE, "B (C I) E -> B C I E", I=self.block)

    def _with_neighbours(self, blocks_BCIE: Tensor) -> Tensor:
        """`(B, C, J, E)`: each block between what it sees of the one before and the one after."""
        if blocks_BCIE.shape[1] == 1:
            return blocks_BCIE
        before_BCJE = F.pad(blocks_BCIE[:, :-1, self.block - self.back :], (0, 0, 0, 0, 1, 0))
        after_BCJE = F.pad(blocks_BCIE[:, 1:, : self.ahead], (0, 0, 0, 0, 0, 1))
        return torch.cat([before_BCJE, blocks_BCIE, after_BCJE], dim=2)

    def _visible_keys(self, real_BL: Tensor) -> Tensor:
        """`(B, C, I, J)`, True = takes part.

        Each position sees at least itself, padding too: what a kernel answers to a row with
        nothing to attend to is not documented.
        """
        blocks_BCI1 = self._blocks(real_BL[:, :, None])
        real_BC1J = self._with_neighbours(blocks_BCI1).transpose(2, 3)
        block, span = blocks_BCI1.shape[2], real_BC1J.shape[3]
        first_key = 0 if span == block else -self.back
        i_I1 = torch.arange(block, device=real_BL.device)[:, None]
        offset_IJ = first_key + torch.arange(span, device=real_BL.device) - i_I1
        window_IJ = (offset_IJ >= -self.back) & (offset_IJ <= self.ahead)
        return window_IJ & (real_BC1J | (offset_IJ == 0))
