"""Reformer attention: each position attends to those that a random hash puts into its bucket.

Kitaev, Kaiser and Levskaya, "Reformer: The Efficient Transformer", 2020 (arXiv:2001.04451),
section 2, LSH attention.

    q_t, v_t = W_q x_t, W_v x_t                    W_q, W_v (D, D), each of q, v (H, K)
    k_t = q_t / |q_t|                              shared queries and keys
    b_r(t) = argmax([R_r q_t; -R_r q_t])           bucket in round r; R_r (buckets / 2, K) random
    P_r(t): the positions s of bucket b_r(t), of them the `chunk_size` nearest before t and, unless
            causal, the `chunk_size` nearest after t, and t itself
    y_t = sum_r sum_(s in P_r(t)) a_rts v_s / sum_r sum_(s in P_r(t)) a_rts
    a_rts = exp(q_t . k_s / sqrt(K)) for s != t, exp(-10^5) for s = t: oneself only if alone
    out_t = W_out y_t                              W_out (D, D)

Nearest is counted in members of the bucket, whatever their distance. With chunk_size m there are
2 max_seq_len / m buckets, rounded up to an even number, so a bucket has m / 2 members on average.

Differences from the paper: there the positions, sorted by bucket and within it by place, are cut
into chunks of m, and each attends to those of its bucket in its own chunk and in the one before.
Where the cuts fall depends on how many later positions, and how much padding, hash into earlier
buckets; a window does not. A bucket of at most m + 1 members, which chunks may cut, is seen whole;
in a larger one a position sees m members before it, where chunks show it m to 2 m - 1.
A position that several rounds find counts several times, the paper's log N term left out, as in
LRA's port. No reversible layers; the rotations are drawn once and kept, and are the same for all
heads; no biases; dropout on the output and not on the weights. Queries are computed in float32
under autocast, so that rounding does not move them to another bucket.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import einsum, rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

SELF_SCORE = -1e5
NO_BUCKET = -1


class ReformerAttention(Mechanism):
    """Multi-head attention within hash buckets; time O(L log L), memory O(L)."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "chunk_size": {"type": "categorical", "choices": [32, 64, 128]},
        "num_hashes": {"type": "int", "low": 1, "high": 8, "log": True},
    }
    rotations_RKE: Tensor

    def __init__(self, config: MechanismConfig, chunk_size: int = 64, num_hashes: int = 4) -> None:
        """chunk_size: m. num_hashes: rounds. Raises ValueError unless both are at least 1."""
        super().__init__(config)
        if chunk_size < 1:
            raise ValueError(f"chunk_size must be at least 1, found {chunk_size}")
        if num_hashes < 1:
            raise ValueError(f"num_hashes must be at least 1, found {num_hashes}")
        self.chunk = chunk_size
        self.half_buckets = -(-config.max_seq_len // chunk_size)
        head_dim = config.d_model // config.num_heads
        self.register_buffer("rotations_RKE", torch.randn(num_hashes, head_dim, self.half_buckets))
        self.query = nn.Linear(config.d_model, config.d_model, bias=False)
        self.value = nn.Linear(config.d_model, config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        value_BLD = self.value(x)
        with torch.autocast(x.device.type, enabled=False):
            dtype = torch.promote_types(x.dtype, torch.float32)
            query_BLD = F.linear(x.to(dtype), self.query.weight.to(dtype))
            q_BHLK, v_BHLK = (
                rearrange(part_BLD.to(dtype), "B L (H K) -> B H L K", H=self.config.num_heads)
                for part_BLD in (query_BLD, value_BLD)
            )
            bucket_BHRL = self._buckets(q_BHLK.detach())
            if key_padding_mask is not None:  # padding has a bucket of its own, the last
                bucket_BHRL = bucket_BHRL.masked_fill(
                    key_padding_mask[:, None, None], 2 * self.half_buckets
                )
            y_BHLK = self._over_rounds(q_BHLK, v_BHLK, bucket_BHRL)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _buckets(self, q_BHLK: Tensor) -> Tensor:
        """`(B, H, R, L)`: the bucket of each position in each round."""
        rotations_RKE = self.rotations_RKE.to(q_BHLK.dtype)
        turned_BHRLE = einsum(q_BHLK, rotations_RKE, "B H L K, R K E -> B H R L E")
        return torch.cat([turned_BHRLE, -turned_BHRLE], dim=4).argmax(4)

    def _over_rounds(self, q_BHLK: Tensor, v_BHLK: Tensor, bucket_BHRL: Tensor) -> Tensor:
        """`(B, H, L, K)`: attention in every round, weighed by what its weights sum to."""
        order_BHRL = bucket_BHRL.argsort(dim=3, stable=True)
        place_BHRL = order_BHRL.argsort(dim=3)
        sorted_BHRL = bucket_BHRL.gather(3, order_BHRL)
        y_BHRLK, log_sum_BHRL1 = self._in_buckets(
            _taken(q_BHLK[:, :, None], order_BHRL),
            _taken(v_BHLK[:, :, None], order_BHRL),
            sorted_BHRL,
        )
        share_BHRL1 = _taken(log_sum_BHRL1, place_BHRL).softmax(2)
        return (_taken(y_BHRLK, place_BHRL) * share_BHRL1).sum(2)

    def _in_buckets(
        self, q_BHRLK: Tensor, v_BHRLK: Tensor, bucket_BHRL: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attention among sorted positions, and the logarithm of the sum of its weights."""
        length, width = q_BHRLK.shape[3:]
        block, back = min(self.chunk, length), min(self.chunk, length - 1)
        ahead = 0 if self.config.causal else back
        fill, span = -length % block, back + block + ahead
        k_BHRLK = q_BHRLK / (q_BHRLK.square().sum(4, keepdim=True) + 1e-6).sqrt()
        q_BHRCIK = _cut(q_BHRLK / math.sqrt(width), 0, fill, block, block)
        k_BHRCJK, v_BHRCJK = (
            _cut(part, back, ahead + fill, span, block) for part in (k_BHRLK, v_BHRLK)
        )
        bucket_BHRCI1 = _cut(bucket_BHRL[..., None], 0, fill, block, block, NO_BUCKET)
        bucket_BHRCJ1 = _cut(bucket_BHRL[..., None], back, ahead + fill, span, block, NO_BUCKET)
        i_I1 = torch.arange(block, device=q_BHRLK.device)[:, None]
        offset_IJ = torch.arange(span, device=q_BHRLK.device) - back - i_I1
        visible_BHRCIJ = bucket_BHRCI1 == bucket_BHRCJ1.transpose(4, 5)
        visible_BHRCIJ = visible_BHRCIJ & (offset_IJ >= -back) & (offset_IJ <= ahead)
        scores_BHRCIJ = (q_BHRCIK @ k_BHRCJK.transpose(4, 5)).masked_fill(
            ~visible_BHRCIJ, -torch.inf
        )
        scores_BHRCIJ = scores_BHRCIJ.masked_fill(offset_IJ == 0, SELF_SCORE)
        log_sum_BHRCI1 = scores_BHRCIJ.logsumexp(5, keepdim=True)
        y_BHRCIK = (scores_BHRCIJ - log_sum_BHRCI1).exp() @ v_BHRCJK
        return (
            y_BHRCIK.flatten(3, 4)[:, :, :, :length],
            log_sum_BHRCI1.flatten(3, 4)[:, :, :, :length],
        )


def _taken(part_BHRLK: Tensor, order_BHRL: Tensor) -> Tensor:
    """The positions of each round in this order; the part may be the same for all rounds."""
    shape = (*order_BHRL.shape, part_BHRLK.shape[4])
    return part_BHRLK.expand(shape).gather(3, order_BHRL[..., None].expand(shape))


def _cut(
    part_BHRLK: Tensor, before: int, after: int, span: int, step: int, filling: int = 0
) -> Tensor:
    """`(B, H, R, C, span, K)`: a stretch of `span` positions every `step`, beyond the ends too."""
    padded_BHRLK = F.pad(part_BHRLK, (0, 0, before, after), value=filling)
    return padded_BHRLK.unfold(3, span, step).transpose(4, 5)
