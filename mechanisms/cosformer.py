"""CosFormer: linear attention with ReLU features, reweighted by a cosine of the distance.

Qin et al., "cosFormer: Rethinking Softmax in Attention", 2022 (arXiv:2202.08791), equations 9-12.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    w_ts = relu(q_t) . relu(k_s) cos(pi / 2 (t - s) / M)           M is max_seq_len
    out_t = W_out (sum_s w_ts v_s / max(sum_s w_ts, 1e-6))         W_out (D, D); over s <= t when
                                                                   causal

With a_t = pi t / (2 M), the cosine of a difference makes w_ts a product of features,
[relu(q_t) cos a_t, relu(q_t) sin a_t] . [relu(k_s) cos a_s, relu(k_s) sin a_s], so that sums over
s fit into one matrix (2 K, K) per head. No term of it is negative.

Differences from the paper: M is the longest length the mechanism may meet and not that of the
input, which a causal mechanism cannot know (their M has to be at least as large); no biases; the
causal form is computed in chunks of 64 positions; sums are kept in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

CHUNK = 64
EPSILON = 1e-6


class CosFormer(Mechanism):
    """Multi-head linear attention with cosine reweighting; decoding state (H, 2 K, K + 1)."""

    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            t_L = torch.arange(x.shape[1], device=x.device)
            q_BHLR, k_BHLR, v_BHLV = self._features(qkv_BLE, t_L)
            if self.config.causal:  # padding stands on the right: no real position sees it
                sums_BHLV = _causal(q_BHLR, k_BHLR, v_BHLV)
            else:
                if key_padding_mask is not None:
                    k_BHLR = k_BHLR.masked_fill(key_padding_mask[:, None, :, None], 0.0)
                sums_BHLV = q_BHLR @ (k_BHLR.transpose(-1, -2) @ v_BHLV)
            y_BHLK = sums_BHLV[..., :-1] / sums_BHLV[..., -1:].clamp(min=EPSILON)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, int]:
        """Sums `(B, H, 2 K, K + 1)` and the position. NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        num_heads = self.config.num_heads
        head_dim = self.config.d_model // num_heads
        dtype = torch.promote_types(dtype, torch.float32)
        shape = (batch_size, num_heads, 2 * head_dim, head_dim + 1)
        return torch.zeros(shape, device=device, dtype=dtype), 0

    def step(self, x_t: Tensor, state: tuple[Tensor, int]) -> tuple[Tensor, tuple[Tensor, int]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        past_BHRV, t = state
        qkv_B1E = self.qkv(x_t[:, None])
        with torch.autocast(x_t.device.type, enabled=False):
            t_1 = torch.full((1,), t, device=x_t.device)
            q_BH1R, k_BH1R, v_BH1V = self._features(qkv_B1E, t_1)
            past_BHRV = past_BHRV + k_BH1R.transpose(-1, -2) @ v_BH1V
            sums_BH1V = q_BH1R @ past_BHRV
            y_BH1K = sums_BH1V[..., :-1] / sums_BH1V[..., -1:].clamp(min=EPSILON)
        out_BD: Tensor = self.dropout(self.out(rearrange(y_BH1K, "B H 1 K -> B (H K)")))
        return out_BD, (past_BHRV, t + 1)

    def _features(self, qkv_BLE: Tensor, t_L: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of q and of k, `(B, H, L, R)` with R = 2 K, and [v, 1], `(B, H, L, K + 1)`."""
        qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
        q_BHLK, k_BHLK, v_BHLK = rearrange(
            qkv_BLE, "B L (three H K) -> three B H L K", three=3, H=self.config.num_heads
        )
        angle_L1 = t_L.to(qkv_BLE.dtype)[:, None] * (math.pi / 2 / self.config.max_seq_len)
        cos_L1, sin_L1 = angle_L1.cos(), angle_L1.sin()
        q_BHLR, k_BHLR = (
            torch.cat([part.relu() * cos_L1, part.relu() * sin_L1], dim=-1)
            for part in (q_BHLK, k_BHLK)
        )
        return q_BHLR, k_BHLR, F.pad(v_BHLK, (0, 1), value=1.0)


def _causal(q_BHLR: Tensor, k_BHLR: Tensor, v_BHLV: Tensor) -> Tensor:
    """The sum over s <= t of (q_t . k_s) v_s, `(B, H, L, V)`."""
    length = q_BHLR.shape[2]
    q_BHCIR, k_BHCIR, v_BHCIV = (_chunks(part) for part in (q_BHLR, k_BHLR, v_BHLV))
    k_BHCRI = k_BHCIR.transpose(-1, -2)
    sums_BHCIV = (q_BHCIR @ k_BHCRI).tril() @ v_BHCIV
    if length > CHUNK:
        state_BHCRV = (k_BHCRI[:, :, :-1] @ v_BHCIV[:, :, :-1]).cumsum(2)
        sums_BHCIV = sums_BHCIV + q_BHCIR @ F.pad(state_BHCRV, (0, 0, 0, 0, 1, 0))
    return sums_BHCIV.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLE: Tensor) -> Tensor:
    """`(B, H, C, I, E)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLE.shape[2]
    if length <= CHUNK:
        return part_BHLE[:, :, None]
    padded_BHLE = F.pad(part_BHLE, (0, 0, 0, -length % CHUNK))
    return rearrange(padded_BHLE, "B H (C I) E -> B H C I E", I=CHUNK)
