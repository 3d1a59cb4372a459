"""H-Transformer-1D: hierarchical attention, exact nearby and coarser the farther away.

Zhu and Soricut, "H-Transformer-1D: Fast One-Dimensional Hierarchical Attention for Sequences", 2021
(arXiv:2107.11906), sections 4-6.

At level l = 0, 1, 2, ... the sequence is cut into cells of 2^l positions and into blocks of N_r
cells. Positions t and s meet at the lowest level at which their blocks are the same or neighbours
(the same block happens at level 0 only).

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    a_ts = exp(q'_t . k'_s / sqrt(K))              per head; q', k' the means of q, k over the cell
                                                   of t, of s, at the level where t and s meet
    y_t = sum_s a_ts v_s / sum_s a_ts              over the s that t may see
    out_t = W_out y_t                              W_out (D, D)

All s of a cell share their weight, so a level takes one product with the sums of v over its cells:
O(L) in all. When causal, q' is the q of the first position of the cell, the only one that all of
the cell may see (so do the authors, in their published code); the keys' cells lie in an earlier
block, and are over.

Differences from the paper: no biases; a sequence of any length, the last cell and block of each
level being incomplete; a mean is over the real positions of a cell; the largest exponent of each
row over the levels is taken off before exp; dropout on the output and not on the weights. All but
the projections is in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class HTransformer1D(Mechanism):
    """Multi-head hierarchical attention in blocks of `block_size` cells; time and memory O(L)."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "block_size": {"type": "categorical", "choices": [8, 16, 32, 64]},
    }

    def __init__(self, config: MechanismConfig, block_size: int = 16) -> None:
        """block_size: N_r. Raises ValueError unless it is even and at least 2."""
        super().__init__(config)
        if block_size < 2 or block_size % 2:
            raise ValueError(f"block_size must be even and at least 2, found {block_size}")
        self.block = block_size
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if key_padding_mask is None or self.config.causal:
            # Padding stands on the right, so causality hides it from every real position.
            real_BL = x.new_ones(x.shape[:2], dtype=torch.bool)
        else:
            real_BL = ~key_padding_mask
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
            q_BHLK, k_BHLK, v_BHLK = rearrange(
                qkv_BLE, "B L (three H K) -> three B H L K", three=3, H=self.config.num_heads
            )
            q_BHLK = q_BHLK / math.sqrt(q_BHLK.shape[3])
            count_BHL1 = torch.ones_like(q_BHLK[..., :1])
            cells_BHLE = torch.cat([q_BHLK, k_BHLK, v_BHLK, count_BHL1], dim=3)
            sums_BHLV = self._over_levels(cells_BHLE.masked_fill(~real_BL[:, None, :, None], 0.0))
            # At least 1, the weight of the largest exponent; 0 where a whole row is padding.
            y_BHLK = sums_BHLV[..., :-1] / sums_BHLV[..., -1:].clamp(min=0.5)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _over_levels(self, cells_BHLE: Tensor) -> Tensor:
        """`(B, H, L, K + 1)`: sums of a v and of a over all levels, less the largest exponent.

        The channels of a cell are the sums of q (when causal, the first q), of k and of v over its
        real positions, and how many they are.
        """
        levels = [cells_BHLE]
        while levels[-1].shape[2] > 2 * self.block:  # the last two blocks meet
            levels.append(self._coarser(levels[-1]))
        (sums, exponent), *found = self._attend(levels[:1], lowest=True)
        if len(levels) > 1:
            found = self._attend(levels[1:], lowest=False)
            coarse_sums, coarse_exponent = found.pop()
            while found:
                coarse_sums, coarse_exponent = _joined(*found.pop(), coarse_sums, coarse_exponent)
            sums, exponent = _joined(sums, exponent, coarse_sums, coarse_exponent)
        return sums

    def _coarser(self, cells_BHNE: Tensor) -> Tensor:
        """`(B, H, ceil(N / 2), E)`: two cells in one; the last may have no second."""
        padded_BHNE = F.pad(cells_BHNE, (0, 0, 0, cells_BHNE.shape[2] % 2))
        first_BHNE, second_BHNE = padded_BHNE[:, :, ::2], padded_BHNE[:, :, 1::2]
        if self.config.causal:
            width = cells_BHNE.shape[3] // 3
            second_BHNE = F.pad(second_BHNE[..., width:], (width, 0))
        return first_BHNE + second_BHNE

    def _attend(self, levels: list[Tensor], lowest: bool) -> list[tuple[Tensor, Tensor]]:
        """Of each level the sums of a v and of a, `(B, H, N, K + 1)`, and their exponent.

        All blocks of these levels at once.
        """
        blocks = [self._blocks(cells_BHNE) for cells_BHNE in levels]
        width = levels[0].shape[3] // 3
        own_BHCIE = torch.cat(blocks, dim=2)
        q_BHCIK, count_BHCI1 = own_BHCIE[..., :width], own_BHCIE[..., -1:]
        if not self.config.causal:
            q_BHCIK = q_BHCIK / count_BHCI1.clamp(min=1.0)
        seen_BHCJE = torch.cat([self._neighbours(part, lowest) for part in blocks], dim=2)
        k_BHCJK, v_BHCJV = seen_BHCJE[..., width : 2 * width], seen_BHCJE[..., 2 * width :]
        count_BHCJ1 = seen_BHCJE[..., -1:]
        hidden_BHCIJ = (count_BHCJ1.transpose(3, 4) == 0) | self._elsewhere(lowest, q_BHCIK.device)
        scores_BHCIJ = q_BHCIK @ (k_BHCJK / count_BHCJ1.clamp(min=1.0)).transpose(3, 4)
        scores_BHCIJ = scores_BHCIJ.masked_fill(hidden_BHCIJ, -torch.inf)
        exponent_BHCI1 = scores_BHCIJ.detach().amax(4, keepdim=True)
        exponent_BHCI1 = exponent_BHCI1.clamp(min=torch.finfo(scores_BHCIJ.dtype).min)
        sums_BHCIV = (scores_BHCIJ - exponent_BHCI1).exp() @ v_BHCJV
        ends = [sum(part.shape[2] for part in blocks[:i]) for i in range(1, len(blocks))]
        return [
            (sums.flatten(2, 3)[:, :, :num_cells], exponent.flatten(2, 3)[:, :, :num_cells])
            for sums, exponent, num_cells in zip(
                sums_BHCIV.tensor_split(ends, dim=2),
                exponent_BHCI1.tensor_split(ends, dim=2),
                [cells.shape[2] for cells in levels],
                strict=True,
            )
        ]

    def _blocks(self, cells_BHNE: Tensor) -> Tensor:
        """`(B, H, C, I, E)`, the last block filled with zeros."""
        padded_BHNE = F.pad(cells_BHNE, (0, 0, 0, -cells_BHNE.shape[2] % self.block))
        return rearrange(padded_BHNE, "B H (C I) E -> B H C I E", I=self.block)

    def _neighbours(self, blocks_BHCIE: Tensor, lowest: bool) -> Tensor:
        """`(B, H, C, J, E)`: the block before, on the lowest level its own, the one after."""
        parts = [F.pad(blocks_BHCIE[:, :, :-1], (0, 0, 0, 0, 1, 0))]
        if lowest:
            parts.append(blocks_BHCIE)
        if not self.config.causal:
            parts.append(F.pad(blocks_BHCIE[:, :, 1:], (0, 0, 0, 0, 0, 1)))
        return torch.cat(parts, dim=3)

    def _elsewhere(self, lowest: bool, device: torch.device) -> Tensor:
        """`(I, J)`: the pairs that met at a lower level, or that causality forbids."""
        i_I = torch.arange(self.block, device=device)
        second_I = i_I >= self.block // 2
        if lowest:  # in the block before, its own, the one after
            none_II = i_I[:, None] < 0
            parts = [none_II.expand(-1, self.block)] * 3
            if self.config.causal:
                parts[1:] = [i_I > i_I[:, None]]
        else:  # in the block before, the one after
            parts = [~second_I[:, None] & second_I, second_I[:, None] & ~second_I]
            parts = parts[:1] if self.config.causal else parts
        return torch.cat(parts, dim=1)


def _joined(
    sums: Tensor, exponent: Tensor, coarse_sums: Tensor, coarse_exponent: Tensor
) -> tuple[Tensor, Tensor]:
    """The sums of a level and of those above it, under the larger of the two exponents."""
    coarse_sums, coarse_exponent = (
        part.repeat_interleave(2, dim=2)[:, :, : sums.shape[2]]
        for part in (coarse_sums, coarse_exponent)
    )
    larger = torch.maximum(exponent, coarse_exponent)
    sums = sums * (exponent - larger).exp() + coarse_sums * (coarse_exponent - larger).exp()
    return sums, larger
