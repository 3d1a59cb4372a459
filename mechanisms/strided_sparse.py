"""Strided sparse attention: the nearest positions, and every one a whole number of strides away.

Child et al., "Generating Long Sequences with Sparse Transformers", 2019 (arXiv:1904.10509),
section 4.2, the strided pattern; section 4.3, both parts of it in every head ("merged").

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     per head, over the s <= t of which
          t - s < stride  or  (t - s) mod stride = 0
    out_t = W_out y_t                              W_out (D, D)

With a stride near sqrt(L), as published, any position reaches any earlier one in two layers.

Differences from the paper: without causality, which the paper has not, s may lie on either side,
|t - s| in place of t - s; the stride is the root of max_seq_len, rounded up, where the paper sets
it near the root by hand; no biases; dropout on the output and not on the weights; no change to the
residual block or its initialisation. The sequence is laid out as C rows of `stride` positions, so
that each position meets two rows (three without causality) and one column: scores of shape
(L, stride + C), never (L, L). LRA's results for Sparse Transformer are of the paper's other
pattern, the fixed one, which LRA keeps causal in its encoders too.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class StridedSparseAttention(Mechanism):
    """Multi-head softmax attention to `stride` neighbours and a column: O(L (stride + L/stride)).

    With the stride that max_seq_len gives that is O(max_seq_len^1.5) at full length; of shorter
    sequences the first term is the larger one, and the whole is measured as L^1.1 to L^1.2.
    """

    claimed_cost: ClassVar[float | None] = 1.5
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "stride": {"type": "int", "low": 16, "high": 128, "log": True},
    }

    def __init__(self, config: MechanismConfig, stride: int | None = None) -> None:
        """stride: None means the square root of max_seq_len, rounded up.

        Raises ValueError when the stride is less than 1.
        """
        super().__init__(config)
        if stride is not None and stride < 1:
            raise ValueError(f"stride must be at least 1, found {stride}")
        self.stride = stride or math.isqrt(config.max_seq_len - 1) + 1
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        length = x.shape[1]
        q_BHCIK, k_BHCIK, v_BHCIK = rearrange(
            self._rows(self.qkv(x)),
            "B C I (three H K) -> three B H C I K",
            three=3,
            H=self.config.num_heads,
        )
        if key_padding_mask is None or self.config.causal:
            # Padding stands on the right, so causality hides it from every real position.
            real_BL = x.new_ones(1, length, dtype=torch.bool)
        else:
            real_BL = ~key_padding_mask
        real_BCI = self._rows(real_BL[:, :, None])[..., 0]
        q_BHCIK = q_BHCIK / math.sqrt(q_BHCIK.shape[4])
        near_BHCIJ = q_BHCIK @ self._with_neighbours(k_BHCIK).transpose(3, 4)
        column_BHICC = q_BHCIK.transpose(2, 3) @ rearrange(k_BHCIK, "B H C I K -> B H I K C")
        scores_BHCIS = torch.cat([near_BHCIJ, column_BHICC.transpose(2, 3)], dim=4)
        visible_BCIS = torch.cat([self._near_keys(real_BCI), self._column_keys(real_BCI)], dim=3)
        weights_BHCIS = scores_BHCIS.masked_fill(~visible_BCIS[:, None], -torch.inf).softmax(4)
        near_BHCIJ, column_BHCIC = weights_BHCIS.tensor_split([near_BHCIJ.shape[4]], dim=4)
        y_BHCIK = near_BHCIJ @ self._with_neighbours(v_BHCIK)
        y_BHICK = column_BHCIC.transpose(2, 3) @ v_BHCIK.transpose(2, 3)
        y_BLD = rearrange(y_BHCIK + y_BHICK.transpose(2, 3), "B H C I K -> B (C I) (H K)")
        out_BLD: Tensor = self.dropout(self.out(y_BLD[:, :length]))
        return out_BLD

    def _rows(self, part_BLE: Tensor) -> Tensor:
        """`(B, C, I, E)`: rows of `stride` positions, the last filled with zeros."""
        padded_BLE = F.pad(part_BLE, (0, 0, 0, -part_BLE.shape[1] % self.stride))
        return rearrange(padded_BLE, "B (C I) E -> B C I E", I=self.stride)

    def _with_neighbours(self, rows_BHCIK: Tensor) -> Tensor:
        """`(B, H, C, J, K)`: each row after the one before and, unless causal, before the next."""
        parts = [F.pad(rows_BHCIK[:, :, :-1], (0, 0, 0, 0, 1, 0)), rows_BHCIK]
        if not self.config.causal:
            parts.append(F.pad(rows_BHCIK[:, :, 1:], (0, 0, 0, 0, 0, 1)))
        return torch.cat(parts, dim=3)

    def _near_keys(self, real_BCI: Tensor) -> Tensor:
        """`(B, C, I, J)`, True = nearer than a stride. Each position sees itself, padding too."""
        real_BCJ = self._with_neighbours(real_BCI[:, None, :, :, None])[:, 0, :, :, 0]
        i_I1 = torch.arange(self.stride, device=real_BCI.device)[:, None]
        offset_IJ = torch.arange(real_BCJ.shape[2], device=real_BCI.device) - self.stride - i_I1
        near_IJ = (offset_IJ > -self.stride) & (offset_IJ < self.stride)
        if self.config.causal:
            near_IJ = near_IJ & (offset_IJ <= 0)
        return near_IJ & (real_BCJ[:, :, None] | (offset_IJ == 0))

    def _column_keys(self, real_BCI: Tensor) -> Tensor:
        """`(B, C, I, C)`, True = a whole number of strides away, and not zero of them."""
        row_C = torch.arange(real_BCI.shape[1], device=real_BCI.device)
        row_C1 = row_C[:, None]
        seen_CC = row_C < row_C1 if self.config.causal else row_C != row_C1
        return seen_CC[:, None] & real_BCI.transpose(1, 2)[:, None]
