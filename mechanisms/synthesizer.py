"""Synthesizer: attention weights made without comparing a query with a key.

Tay et al., "Synthesizer: Rethinking Self-Attention in Transformer Models", 2020
(arXiv:2005.00743), sections 3.1-3.3.

    v_t = W_v x_t                                  W_v (D, D), each head (K,)
    y_t = sum_s softmax_s(b_ts) v_s                per head; over s <= t when causal
    out_t = W_out y_t                              W_out (D, D)

with one of these scores b, N standing for max_seq_len and h_t = relu(W_1 x_t + c_1), (K,) per head:

    "factorised_dense"    b_ts = a_t[s div n] e_t[s mod n],  [a_t, e_t] = W_2 h_t + c_2; n about
                          sqrt(N), W_2 (2 n, K)
    "dense"               b_ts = (W_2 h_t + c_2)[s]          W_2 (N, K)
    "factorised_random"   b_ts = R_t . S_s                   R, S (N, R) per head
    "random"              b_ts = R[t, s]                     R (N, N) per head

Differences from the paper: the heads share W_2, as in the LRA code; no biases but c_1 and c_2; no
mixtures of variants. The default is the only variant within the parameter bound at length 4,096
(LRA ran "random", whose tables have 33 million parameters there and are left out of the search
space).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

VARIANTS = ("factorised_dense", "dense", "factorised_random", "random")


class Synthesizer(Mechanism):
    """Multi-head attention with synthetic weights; time and weights O(L^2)."""

    claimed_cost: ClassVar[float | None] = 2.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "variant": {
            "type": "categorical",
            "choices": ["factorised_dense", "dense", "factorised_random"],
        },
        "rank": {"type": "categorical", "choices": [8, 16, 32]},
    }

    def __init__(
        self, config: MechanismConfig, variant: str = "factorised_dense", rank: int = 8
    ) -> None:
        """variant: one of VARIANTS. rank: R, of "factorised_random".

        Raises ValueError when either makes no sense.
        """
        super().__init__(config)
        if variant not in VARIANTS:
            raise ValueError(f'variant must be one of {VARIANTS}, found "{variant}"')
        if rank < 1:
            raise ValueError(f"rank must be at least 1, found {rank}")
        self.variant, num_heads, N = variant, config.num_heads, config.max_seq_len
        self.factor = math.isqrt(N - 1) + 1  # n, the root rounded up
        if variant in ("dense", "factorised_dense"):
            head_dim = config.d_model // num_heads
            self.hidden = nn.Linear(config.d_model, config.d_model)
            self.scores = nn.Linear(head_dim, N if variant == "dense" else 2 * self.factor)
        elif variant == "random":
            self.table_HLS = nn.Parameter(torch.randn(num_heads, N, N) / math.sqrt(N))
        else:
            self.left_HLR = nn.Parameter(torch.randn(num_heads, N, rank) / math.sqrt(N))
            self.right_HSR = nn.Parameter(torch.randn(num_heads, N, rank) / math.sqrt(rank))
        self.value = nn.Linear(config.d_model, config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        hidden = self._hidden_keys(x, key_padding_mask)
        weights_BHLS = self._scores(x).masked_fill(hidden, -torch.inf).softmax(-1)
        y_BHLK = weights_BHLS @ self._heads(self.value(x))
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def _scores(self, x_BLD: Tensor) -> Tensor:
        """b, `(B, H, L, S)`, or `(1, H, L, S)` where it does not depend on the input."""
        length = x_BLD.shape[1]
        if self.variant == "random":
            return self.table_HLS[None, :, :length, :length]
        if self.variant == "factorised_random":
            left_HLR, right_HSR = self.left_HLR[:, :length], self.right_HSR[:, :length]
            return (left_HLR @ right_HSR.transpose(-1, -2))[None]
        h_BHLK = self._heads(self.hidden(x_BLD).relu())
        if self.variant == "dense":
            return F.linear(h_BHLK, self.scores.weight[:length], self.scores.bias[:length])
        a_BHLI, e_BHLJ = torch.chunk(self.scores(h_BHLK), 2, dim=-1)
        a_BHLI = a_BHLI[..., : math.ceil(length / self.factor)]
        return (a_BHLI[..., :, None] * e_BHLJ[..., None, :]).flatten(-2)[..., :length]

    def _hidden_keys(self, x_BLD: Tensor, key_padding_mask: Tensor | None) -> Tensor:
        """Broadcast over `(B, H, L, S)`, True = takes no part.

        Position 0 always does: it is real unless the whole row is padding, and a row with nothing
        to attend to would divide by 0.
        """
        length = x_BLD.shape[1]
        if self.config.causal:  # padding stands on the right: no real position sees it
            return torch.ones(length, length, device=x_BLD.device, dtype=torch.bool).triu(1)
        if key_padding_mask is None:
            return torch.zeros(1, device=x_BLD.device, dtype=torch.bool)
        hidden_BS = key_padding_mask.clone()
        hidden_BS[:, 0] = False
        return hidden_BS[:, None, None, :]

    def _heads(self, part_BLD: Tensor) -> Tensor:
        return rearrange(part_BLD, "B L (H K) -> B H L K", H=self.config.num_heads)
