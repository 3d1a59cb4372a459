"""Sinkhorn attention: each block attends to itself and to a block that a learnt sorting put there.

Tay et al., "Sparse Sinkhorn Attention", 2020 (arXiv:2002.11296), section 3, with its causal
Sinkhorn balancing.

The sequence is cut into C blocks of b positions. Per head, with k_n and v_n (b, K) of block n:

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    s_n = sum of k over block n                    (K,); when causal over all positions up to the
                                                   first of block n
    S_nl = Sinkhorn(w_l . s_n / temperature)       (C, C): exp, then rows and columns divided by
                                                   their sums in turn; w (blocks of max_seq_len, K)
    k'_l, v'_l = sum_n S_nl k_n, sum_n S_nl v_n    the sorted blocks, each (b, K)
    y_l = softmax(q_l k_l^T / sqrt(K)) v_l + softmax(q_l k'_l^T / sqrt(K)) v'_l     (b, K)
    out_t = W_out y_t                              W_out (D, D)

When causal, S_nl is 0 unless n < l, position t sees those of its own block that are not after it,
and a row of S is divided, for its entry at l, by its sum over the columns up to l: no block depends
on how many follow it. The first block has no sorted one.

Differences from the paper: as in LRA's port of it by the same authors, w is one linear layer of the
keys in place of a network of two layers of the inputs, and the outputs of the two attentions are
added; no Gumbel noise; no biases; dropout on the output and not on the weights. The causal sorting
takes strictly earlier blocks, for the later positions of its own must not be seen. Temperature 0.75
and 7 iterations follow public code; the port has 1 and 1. The last real block of a row may be
incomplete: what it lacks counts as zero. Blocks are of 64, as in the port for images, or longer
where max_seq_len is above 4,096, so that the sorting does not come to cost L^2; but of no more than
an eighth of max_seq_len, so that there is something to sort. S is computed in float32 under
autocast, on logarithms.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

LOW = -1e30
"""Stands for a logarithm of zero: far below any other, and finite for the gradient."""


class SinkhornAttention(Mechanism):
    """Multi-head attention to the own block and a sorted one: O(L b + L^2 / b).

    With the block size that max_seq_len gives that is O(max_seq_len^1.5) at full length; of shorter
    sequences the first term is the larger one, and the whole is measured as L^1.1 to L^1.3.
    """

    claimed_cost: ClassVar[float | None] = 1.5
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "block_size": {"type": "categorical", "choices": [16, 32, 64, 128]},
        "temperature": {"type": "float", "low": 0.25, "high": 1.0},
        "num_iterations": {"type": "int", "low": 1, "high": 20},
    }

    def __init__(
        self,
        config: MechanismConfig,
        block_size: int | None = None,
        temperature: float = 0.75,
        num_iterations: int = 7,
    ) -> None:
        """block_size: b; None means 64, or the root of max_seq_len where that is more.

        Raises ValueError unless all three are positive.
        """
        super().__init__(config)
        if block_size is None:
            block_size = max(64, math.isqrt(config.max_seq_len - 1) + 1)
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, found {block_size}")
        if temperature <= 0.0:
            raise ValueError(f"temperature must be above 0, found {temperature}")
        if num_iterations < 1:
            raise ValueError(f"num_iterations must be at least 1, found {num_iterations}")
        self.block = min(block_size, -(-config.max_seq_len // 8))
        self.temperature = temperature
        self.num_iterations = num_iterations
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        num_blocks = -(-config.max_seq_len // self.block)
        self.sort = nn.Linear(config.d_model // config.num_heads, num_blocks, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        length = x.shape[1]
        if key_padding_mask is None or self.config.causal:
            # Padding stands on the right, so causality hides it from every real position.
            real_BL = x.new_ones(1, length, dtype=torch.bool)
        else:
            real_BL = ~key_padding_mask
        q_BHCIK, k_BHCIK, v_BHCIK = rearrange(
            self._blocks(self.qkv(x)),
            "B C I (three H K) -> three B H C I K",
            three=3,
            H=self.config.num_heads,
        )
        real_BCI = self._blocks(real_BL[:, :, None])[..., 0]
        if not self.config.causal:
            k_BHCIK, v_BHCIK = (
                part.masked_fill(~real_BCI[:, None, :, :, None], 0.0) for part in (k_BHCIK, v_BHCIK)
            )
        share_BHCE = self._sorting(k_BHCIK, real_BCI[:, :, 0])
        y_BHCIK = self._attend(q_BHCIK, k_BHCIK, v_BHCIK, real_BCI, self.config.causal)
        sorted_BHCIK = self._attend(
            q_BHCIK,
            _mixed(k_BHCIK, share_BHCE),
            _mixed(v_BHCIK, share_BHCE),
            real_BCI[:, :1],  # a place of a sorted block is empty if it is in all blocks
            False,
        )
        y_BLD = rearrange(y_BHCIK + sorted_BHCIK, "B H C I K -> B (C I) (H K)")[:, :length]
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def _blocks(self, part_BLE: Tensor) -> Tensor:
        """`(B, C, I, E)`, the last block filled with zeros."""
        padded_BLE = F.pad(part_BLE, (0, 0, 0, -part_BLE.shape[1] % self.block))
        return rearrange(padded_BLE, "B (C I) E -> B C I E", I=self.block)

    def _attend(
        self, q_BHCIK: Tensor, k_BHCIK: Tensor, v_BHCIK: Tensor, real_BCI: Tensor, causal: bool
    ) -> Tensor:
        """`(B, H, C, I, K)`: attention of each block of queries to its block of keys.

        The first position of each block always takes part: it is real unless all of the block is
        padding, and what a kernel answers to a row with nothing to attend to is not documented.
        """
        shape = q_BHCIK.shape
        visible_BHCI = real_BCI | (torch.arange(self.block, device=q_BHCIK.device) == 0)
        visible_BHCI = visible_BHCI[:, None].expand(-1, shape[1], shape[2], -1)
        y_BGIK = F.scaled_dot_product_attention(
            q_BHCIK.flatten(1, 2),
            k_BHCIK.flatten(1, 2),
            v_BHCIK.flatten(1, 2),
            attn_mask=None if self.config.causal else visible_BHCI.flatten(1, 2)[:, :, None],
            is_causal=causal,
        )
        return y_BGIK.view(shape)

    def _sorting(self, k_BHCIK: Tensor, is_real_BC: Tensor) -> Tensor:
        """S, `(B, H, C, E)`: how much of block C comes to the place of block E."""
        num_blocks = k_BHCIK.shape[2]
        with torch.autocast(k_BHCIK.device.type, enabled=False):
            k_BHCIK = k_BHCIK.to(torch.promote_types(k_BHCIK.dtype, torch.float32))
            s_BHCK = k_BHCIK.sum(3)
            if self.config.causal:
                s_BHCK = s_BHCK.cumsum(2) - s_BHCK + k_BHCIK[:, :, :, 0]
            weight_EK = self.sort.weight[:num_blocks].to(s_BHCK.dtype)
            logit_BHCE = s_BHCK @ weight_EK.T / self.temperature
            if self.config.causal:
                possible_BCE = torch.ones_like(logit_BHCE[:1, 0], dtype=torch.bool).triu(1)
            else:
                possible_BCE = is_real_BC[:, :, None] & is_real_BC[:, None]
            return self._balanced(logit_BHCE, ~possible_BCE[:, None])

    def _balanced(self, log_BHCE: Tensor, impossible_B1CE: Tensor) -> Tensor:
        """Rows and columns divided by their sums in turn, on logarithms."""
        log_BHCE = log_BHCE.masked_fill(impossible_B1CE, LOW)
        for _ in range(self.num_iterations):
            if self.config.causal:
                row_BHCE = log_BHCE.logcumsumexp(3)
            else:
                row_BHCE = log_BHCE.logsumexp(3, keepdim=True)
            log_BHCE = (log_BHCE - row_BHCE).masked_fill(impossible_B1CE, LOW)
            log_BHCE = log_BHCE - log_BHCE.logsumexp(2, keepdim=True)
            log_BHCE = log_BHCE.masked_fill(impossible_B1CE, LOW)
        return log_BHCE.exp()


def _mixed(part_BHCIK: Tensor, share_BHCE: Tensor) -> Tensor:
    """`(B, H, E, I, K)`: the sorted blocks."""
    share_BHCE = share_BHCE.to(part_BHCIK.dtype)
    return (share_BHCE.transpose(2, 3) @ part_BHCIK.flatten(3)).view_as(part_BHCIK)
