"""BigBird: attention in blocks, to the neighbours, to a few random blocks and to two global ones.

Zaheer et al., "Big Bird: Transformers for Longer Sequences", 2020 (arXiv:2007.14062), section 2,
the internal construction (ITC), in blocks as in the appendix on its implementation.

The sequence is cut into blocks of b positions. The first block and the last one are global: they
see everything, and everything sees them. Block c of the others sees as well

    blocks c - 1, c, c + 1                         the window
    r blocks out of the rest                       drawn once, per layer, head and block

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    y_t = sum_s softmax_s(q_t . k_s / sqrt(K)) v_s     per head, over the s of those blocks
    out_t = W_out y_t                              W_out (D, D)

Differences from the paper: the last block is the last with a real position, and may be incomplete;
a block's random ones are those of the first r that a fixed random order of all blocks finds among
the row's own, so that they do not depend on the padding (fewer where the row has fewer); no biases;
dropout on the output and not on the weights. The keys of the at most 5 + r blocks are gathered
beside each other, so that time and memory are O(L b (r + 5)). Bidirectional only: where the paper
generates text, its decoder attends in full.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class BigBirdAttention(Mechanism):
    """Multi-head block-sparse softmax attention; time and memory O(L)."""

    supports_causal: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "block_size": {"type": "categorical", "choices": [16, 32, 64]},
        "num_random_blocks": {"type": "int", "low": 1, "high": 3},
    }
    order_HCC: Tensor

    def __init__(
        self, config: MechanismConfig, block_size: int = 64, num_random_blocks: int = 3
    ) -> None:
        """block_size: b. num_random_blocks: r.

        Raises ValueError when the two make no sense, or config.causal is True.
        """
        super().__init__(config)
        if config.causal:
            raise ValueError("BigBird has no causal form, found config.causal True: use False")
        if block_size < 1:
            raise ValueError(f"block_size must be at least 1, found {block_size}")
        if num_random_blocks < 0:
            raise ValueError(f"num_random_blocks must be at least 0, found {num_random_blocks}")
        self.block = block_size
        self.num_random = num_random_blocks
        num_blocks = -(-config.max_seq_len // block_size)
        numbers_HCC = torch.rand(
            config.num_heads,
            num_blocks,
            num_blocks,
            generator=torch.Generator().manual_seed(config.layer_index),
        )
        self.register_buffer("order_HCC", numbers_HCC.argsort(2))
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        batch_size, length, _ = x.shape
        q_BHCIK, k_BHCIK, v_BHCIK = rearrange(
            F.pad(self.qkv(x), (0, 0, 0, -length % self.block)),
            "B (C I) (three H K) -> three B H C I K",
            three=3,
            I=self.block,
            H=self.config.num_heads,
        )
        if key_padding_mask is None:
            num_real_B = torch.full((batch_size,), length, device=x.device)
        else:  # the first position counts as real: a kernel needs something to attend to
            num_real_B = (~key_padding_mask).sum(1).clamp(min=1)
        last_B = (num_real_B - 1) // self.block
        y_BHCIK = self._in_sparse_blocks(q_BHCIK, k_BHCIK, v_BHCIK, num_real_B, last_B)
        y_BHCIK = _with_global_blocks(y_BHCIK, q_BHCIK, k_BHCIK, v_BHCIK, num_real_B, last_B)
        y_BLD = rearrange(y_BHCIK, "B H C I K -> B (C I) (H K)")[:, :length]
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def _in_sparse_blocks(
        self,
        q_BHCIK: Tensor,
        k_BHCIK: Tensor,
        v_BHCIK: Tensor,
        num_real_B: Tensor,
        last_B: Tensor,
    ) -> Tensor:
        """`(B, H, C, I, K)`: what the blocks see that are not global."""
        seen_BHCS, is_seen_BHCS = self._seen_blocks(q_BHCIK.shape[2], last_B)
        k_BGJK, v_BGJK = _gathered(k_BHCIK, seen_BHCS), _gathered(v_BHCIK, seen_BHCS)
        i_I = torch.arange(self.block, device=last_B.device)
        position_BHCSI = seen_BHCS[..., None] * self.block + i_I
        is_real_BHCSI = position_BHCSI < num_real_B[:, None, None, None, None]
        visible_BHCSI = is_seen_BHCS[..., None] & is_real_BHCSI
        y_BGIK = F.scaled_dot_product_attention(
            q_BHCIK.flatten(1, 2),
            k_BGJK,
            v_BGJK,
            attn_mask=visible_BHCSI.flatten(3, 4).flatten(1, 2)[:, :, None],
        )
        return y_BGIK.view_as(q_BHCIK)

    def _seen_blocks(self, num_blocks: int, last_B: Tensor) -> tuple[Tensor, Tensor]:
        """Which blocks each one sees, `(B, H, C, S)`, and whether that counts.

        None is seen twice: the window and the random blocks are of those between the global ones.
        """
        c_C = torch.arange(num_blocks, device=last_B.device)
        last_B11 = last_B[:, None, None]
        between_B1C = (c_C > 0) & (c_C < last_B11)
        rest_B1CC = between_B1C[:, :, None] & ((c_C - c_C[:, None]).abs() > 1)
        order_BHCC = torch.where(rest_B1CC, self.order_HCC[:, :num_blocks, :num_blocks], -1)
        number_BHCR, random_BHCR = order_BHCC.topk(min(self.num_random, num_blocks), dim=3)
        window_CW = c_C[:, None] + torch.arange(-1, 2, device=last_B.device)
        window_BCW = window_CW.expand(len(last_B), -1, -1)
        ends_BCE = torch.stack([torch.zeros_like(last_B), last_B], 1)[:, None]
        ends_BCE = ends_BCE.expand(-1, num_blocks, -1)
        is_end_BCE = (ends_BCE > 0) | (torch.arange(2, device=last_B.device) == 0)
        fixed_BCS = torch.cat([ends_BCE, window_BCW], dim=2)
        is_fixed_BCS = torch.cat([is_end_BCE, (window_BCW > 0) & (window_BCW < last_B11)], dim=2)
        shape = (-1, random_BHCR.shape[1], -1, -1)
        seen_BHCS = torch.cat([fixed_BCS[:, None].expand(shape), random_BHCR], dim=3)
        is_seen_BHCS = torch.cat([is_fixed_BCS[:, None].expand(shape), number_BHCR >= 0], dim=3)
        return seen_BHCS.clamp(0, num_blocks - 1), is_seen_BHCS


def _gathered(part_BHCIK: Tensor, seen_BHCS: Tensor) -> Tensor:
    """`(B, H C, S I, K)`: beside each other the blocks that each block sees."""
    batch_size, num_heads, num_blocks = part_BHCIK.shape[:3]
    row_BH11 = torch.arange(batch_size * num_heads, device=part_BHCIK.device)
    row_BH11 = row_BH11.view(batch_size, num_heads, 1, 1) * num_blocks
    rows_NIK = part_BHCIK.flatten(0, 2).index_select(0, (row_BH11 + seen_BHCS).flatten())
    return rows_NIK.view(batch_size, num_heads * num_blocks, -1, part_BHCIK.shape[4])


def _with_global_blocks(
    y_BHCIK: Tensor,
    q_BHCIK: Tensor,
    k_BHCIK: Tensor,
    v_BHCIK: Tensor,
    num_real_B: Tensor,
    last_B: Tensor,
) -> Tensor:
    """`(B, H, C, I, K)`: the first block and each row's last in place of what they had."""
    block_C11 = torch.arange(q_BHCIK.shape[2], device=last_B.device)[:, None, None]
    is_last_B1C11 = block_C11 == last_B[:, None, None, None, None]
    q_last_BHIK = q_BHCIK.masked_fill(~is_last_B1C11, 0.0).sum(2)
    k_BHSK, v_BHSK = k_BHCIK.flatten(2, 3), v_BHCIK.flatten(2, 3)
    position_S = torch.arange(k_BHSK.shape[2], device=last_B.device)
    y_BHJK = F.scaled_dot_product_attention(
        torch.cat([q_BHCIK[:, :, 0], q_last_BHIK], dim=2),
        k_BHSK,
        v_BHSK,
        attn_mask=(position_S < num_real_B[:, None])[:, None, None],
    )
    y_first_BH1IK, y_last_BH1IK = y_BHJK[:, :, None].chunk(2, dim=3)
    y_BHCIK = torch.where(is_last_B1C11, y_last_BH1IK, y_BHCIK)
    return torch.where(block_C11 == 0, y_first_BH1IK, y_BHCIK)
