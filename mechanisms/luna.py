"""Luna: attention nested in two, packed into a short learnt sequence and unpacked from it.

Ma et al., "Luna: Linear Unified Nested Attention", 2021 (arXiv:2106.01540), equations 3-4, and for
causal attention equations 6-9.

    q_t = W_q x_t                                  all W (D, D); each of q, k, v (H, K)
    P                                              P learnt queries (P, D), per head (P, K)
  not causal:
    c_s = W_p x_s,  y_p = sum_s softmax_s(P_p . c_s / sqrt(K)) c_s         pack
    c'_p = W_c y_p, y_t = sum_p softmax_p(q_t . c'_p / sqrt(K)) c'_p       unpack
  causal:
    w_s = softplus(P (W_p x_s) / sqrt(K); beta = ln 2)                     (P,), pack
    a_t = softmax_p(1/t sum_{s <= t} (q_t . W_c x_s / sqrt(K)) w_s)        (P,)
    y_t = 1/t sum_{s <= t} (a_t . w_s) W_c x_s     t counted from 1        unpack
  out_t = W_out y_t

Keys and values are one projection, as in the authors' code unless it is asked to untie them.

Differences from the paper: a mechanism has one output, so the packed sequence is not handed to the
next layer (with its residual and normalisation): each layer learns a P of its own. P is then only
seen through its projection to queries, which is therefore left out; with it, or with a P longer
than 48, a layer would exceed the parameter bound at D = 64. No biases; as many heads to pack as to
unpack; the causal form is computed in chunks of 64 positions. Sums run in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

CHUNK = 64

LunaState = tuple[Tensor, Tensor, int]


class Luna(Mechanism):
    """Multi-head nested attention; time O(L P), decoding state (H, K, P), (H, P, K) and t."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "packed_len": {"type": "categorical", "choices": [16, 32, 128, 256]},
    }

    def __init__(self, config: MechanismConfig, packed_len: int = 16) -> None:
        """packed_len: P. Raises ValueError when there is none."""
        super().__init__(config)
        if packed_len < 1:
            raise ValueError(f"packed_len must be at least 1, found {packed_len}")
        self.packed_PD = nn.Parameter(torch.randn(packed_len, config.d_model))
        self.query = nn.Linear(config.d_model, config.d_model, bias=False)
        self.pack = nn.Linear(config.d_model, config.d_model, bias=False)
        self.unpack = nn.Linear(config.d_model, config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if self.config.causal:  # padding stands on the right: no real position sees it
            y_BHLK = self._causal(x)
        else:
            y_BHLK = self._bidirectional(x, _visible_keys(key_padding_mask))
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> LunaState:
        """Two sums, zero, and the number of positions; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        num_heads = self.config.num_heads
        shape = (batch_size, num_heads, self.config.d_model // num_heads, len(self.packed_PD))
        zeros_BHKP = torch.zeros(
            shape, device=device, dtype=torch.promote_types(dtype, torch.float32)
        )
        return zeros_BHKP, zeros_BHKP.transpose(-1, -2), 0

    def step(self, x_t: Tensor, state: LunaState) -> tuple[Tensor, LunaState]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        key_sum_BHKP, value_sum_BHPK, count = state
        q_BH1K, w_BH1P, c_BH1K = self._causal_parts(x_t[:, None])
        with torch.autocast(x_t.device.type, enabled=False):
            key_sum_BHKP = key_sum_BHKP + c_BH1K.transpose(-1, -2) @ w_BH1P
            value_sum_BHPK = value_sum_BHPK + w_BH1P.transpose(-1, -2) @ c_BH1K
            attention_BH1P = (q_BH1K @ key_sum_BHKP / (count + 1)).softmax(-1)
            y_BH1K = attention_BH1P @ value_sum_BHPK / (count + 1)
        out_BD: Tensor = self.dropout(self.out(rearrange(y_BH1K, "B H 1 K -> B (H K)")))
        return out_BD, (key_sum_BHKP, value_sum_BHPK, count + 1)

    def _bidirectional(self, x_BLD: Tensor, visible_B11L: Tensor | None) -> Tensor:
        c_BHLK = self._heads(self.pack(x_BLD))
        p_BHPK = self._heads(self.packed_PD[None]).expand(len(x_BLD), -1, -1, -1).to(c_BHLK.dtype)
        packed_BHPK = F.scaled_dot_product_attention(p_BHPK, c_BHLK, c_BHLK, attn_mask=visible_B11L)
        c_BHPK = self._heads(self.unpack(rearrange(packed_BHPK, "B H P K -> B P (H K)")))
        q_BHLK = self._heads(self.query(x_BLD))
        return F.scaled_dot_product_attention(q_BHLK, c_BHPK, c_BHPK)

    def _causal(self, x_BLD: Tensor) -> Tensor:
        q_BHLK, w_BHLP, c_BHLK = self._causal_parts(x_BLD)
        with torch.autocast(x_BLD.device.type, enabled=False):
            t_L1 = torch.arange(1, x_BLD.shape[1] + 1, device=x_BLD.device)[:, None]
            attention_BHLP = (_past_sum(q_BHLK, c_BHLK, w_BHLP) / t_L1).softmax(-1)
            return _past_sum(attention_BHLP, w_BHLP, c_BHLK) / t_L1

    def _causal_parts(self, x_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q / sqrt(K) `(B, H, L, K)`, w `(B, H, L, P)` and W_c x `(B, H, L, K)`."""
        parts = (self.query(x_BLD), self.pack(x_BLD), self.unpack(x_BLD))
        with torch.autocast(x_BLD.device.type, enabled=False):
            dtype = torch.promote_types(parts[0].dtype, torch.float32)
            q_BHLK, k_BHLK, c_BHLK = (self._heads(part.to(dtype)) for part in parts)
            scale = q_BHLK.shape[3] ** -0.5
            p_1HKP = self._heads(self.packed_PD[None]).transpose(-1, -2)
            w_BHLP = F.softplus(scale * (k_BHLK @ p_1HKP), beta=math.log(2.0))
            return scale * q_BHLK, w_BHLP, c_BHLK

    def _heads(self, part_BLD: Tensor) -> Tensor:
        return rearrange(part_BLD, "B L (H K) -> B H L K", H=self.config.num_heads)


def _visible_keys(key_padding_mask: Tensor | None) -> Tensor | None:
    """`(B, 1, 1, L)`, True = takes part.

    Position 0 always does: it is real unless the whole row is padding, and what a kernel answers
    to a row with nothing to attend to is not documented.
    """
    if key_padding_mask is None:
        return None
    visible_BL = ~key_padding_mask
    visible_BL[:, 0] = True
    return visible_BL[:, None, None, :]


def _past_sum(x_BHLE: Tensor, y_BHLE: Tensor, z_BHLV: Tensor) -> Tensor:
    """The sum over s <= t of (x_t . y_s) z_s, `(B, H, L, V)`."""
    length = x_BHLE.shape[2]
    x_BHCIE, y_BHCIE, z_BHCIV = (_chunks(part) for part in (x_BHLE, y_BHLE, z_BHLV))
    y_BHCEI = y_BHCIE.transpose(-1, -2)
    sums_BHCIV = (x_BHCIE @ y_BHCEI).tril() @ z_BHCIV
    if length > CHUNK:
        state_BHCEV = (y_BHCEI[:, :, :-1] @ z_BHCIV[:, :, :-1]).cumsum(2)
        sums_BHCIV = sums_BHCIV + x_BHCIE @ F.pad(state_BHCEV, (0, 0, 0, 0, 1, 0))
    return sums_BHCIV.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLE: Tensor) -> Tensor:
    """`(B, H, C, I, E)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLE.shape[2]
    if length <= CHUNK:
        return part_BHLE[:, :, None]
    padded_BHLE = F.pad(part_BHLE, (0, 0, 0, -length % CHUNK))
    return rearrange(padded_BHLE, "B H (C I) E -> B H C I E", I=CHUNK)
