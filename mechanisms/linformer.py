"""Linformer: softmax attention to a fixed number of learnt mixtures of the positions.

Wang et al., "Linformer: Self-Attention with Linear Complexity", 2020 (arXiv:2006.04768),
equation 7, with one projection for keys and values and for all heads.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    k'_p = sum_s E_ps k_s,  v'_p = sum_s E_ps v_s  E (P, max_seq_len); over the real positions s
    y_t = sum_p softmax_p(q_t . k'_p / sqrt(K)) v'_p               per head
    out_t = W_out y_t                              W_out (D, D)

Differences from the paper: no biases; each layer has its own E (the paper shares one between
layers, too, in its smallest form); for an input shorter than max_seq_len the first columns of E
are used and padding counts as zeros, as in the LRA code of mlpen/Nystromformer, whence P = 256 and
the deviation of 0.02 that E starts with; P is at most max_seq_len. E is a table over positions: at
length 4,096 it has a million parameters. Sums over positions are kept in float32 under autocast.
There is no causal form, as each k'_p mixes all positions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

INITIAL_DEVIATION = 0.02


class Linformer(Mechanism):
    """Multi-head softmax attention to `projected_len` mixtures of keys; time O(L P)."""

    claimed_cost: ClassVar[float | None] = 1.0
    supports_causal: ClassVar[bool] = False
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "projected_len": {"type": "categorical", "choices": [16, 32, 64, 128, 256]},
    }

    def __init__(self, config: MechanismConfig, projected_len: int = 256) -> None:
        """projected_len: P. Raises ValueError when it is below 1 or the mode is causal."""
        super().__init__(config)
        if config.causal:
            raise ValueError("Linformer mixes all positions: build it with causal False")
        if projected_len < 1:
            raise ValueError(f"projected_len must be at least 1, found {projected_len}")
        size = min(projected_len, config.max_seq_len)
        self.projection_PL = nn.Parameter(torch.empty(size, config.max_seq_len))
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.projection_PL, std=INITIAL_DEVIATION)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
            q_BLD, kv_BLE = torch.tensor_split(qkv_BLE, [self.config.d_model], dim=2)
            if key_padding_mask is not None:
                kv_BLE = kv_BLE.masked_fill(key_padding_mask[:, :, None], 0.0)
            kv_BPE = self.projection_PL[:, : x.shape[1]] @ kv_BLE
            num_heads = self.config.num_heads
            k_BHPK, v_BHPK = rearrange(kv_BPE, "B P (two H K) -> two B H P K", two=2, H=num_heads)
            q_BHLK = rearrange(q_BLD, "B L (H K) -> B H L K", H=num_heads)
            y_BHLK = F.scaled_dot_product_attention(q_BHLK, k_BHPK, v_BHPK)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD
