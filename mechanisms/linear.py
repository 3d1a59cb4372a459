"""Linear attention: softmax replaced by a feature map, so that the past fits into one matrix.

Katharopoulos et al., "Transformers are RNNs: Fast Autoregressive Transformers with Linear
Attention", 2020 (arXiv:2006.16236), equations 4-12, feature map elu(x) + 1.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K)
    S_t = sum_s phi(k_s) v_s^T                     (K, K) per head; over s <= t when causal
    z_t = sum_s phi(k_s)                           (K,)
    out_t = W_out (S_t^T phi(q_t) / (z_t . phi(q_t) + 1e-6))       W_out (D, D)

Differences from the paper: no biases; the causal form is computed in chunks of 64 positions (a
masked product within a chunk, S between chunks) and not position by position; the sums are kept
in float32 under autocast, where 8 bits of mantissa would not carry a long one.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

CHUNK = 64
EPSILON = 1e-6


class LinearAttention(Mechanism):
    """Multi-head linear attention; time O(L), decoding state (H, K, K) and (H, K)."""

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
            q_BHLK, k_BHLK, v_BHLK = self._features(qkv_BLE)
            if self.config.causal:  # padding stands on the right: no real position sees it
                sum_BHLK, total_BHL1 = _causal(q_BHLK, k_BHLK, v_BHLK)
            else:
                if key_padding_mask is not None:
                    k_BHLK = k_BHLK.masked_fill(key_padding_mask[:, None, :, None], 0.0)
                k_BHKL = k_BHLK.transpose(-1, -2)
                sum_BHLK = q_BHLK @ (k_BHKL @ v_BHLK)
                total_BHL1 = q_BHLK @ k_BHKL.sum(-1, keepdim=True)
            y_BHLK = sum_BHLK / (total_BHL1 + EPSILON)
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """S `(B, H, K, K)` and z `(B, H, K, 1)`, zero; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        num_heads = self.config.num_heads
        head_dim = self.config.d_model // num_heads
        dtype = torch.promote_types(dtype, torch.float32)
        zeros_BHKV = torch.zeros(
            batch_size, num_heads, head_dim, head_dim + 1, device=device, dtype=dtype
        )
        return zeros_BHKV[..., :-1], zeros_BHKV[..., -1:]

    def step(
        self, x_t: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        qkv_B1E = self.qkv(x_t[:, None])
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1K, k_BH1K, v_BH1K = self._features(qkv_B1E)
            k_BHK1 = k_BH1K.transpose(-1, -2)
            s_BHKK, z_BHK1 = state[0] + k_BHK1 @ v_BH1K, state[1] + k_BHK1
            y_BH1K = (q_BH1K @ s_BHKK) / (q_BH1K @ z_BHK1 + EPSILON)
        out_BD: Tensor = self.dropout(self.out(rearrange(y_BH1K, "B H 1 K -> B (H K)")))
        return out_BD, (s_BHKK, z_BHK1)

    def _features(self, qkv_BLE: Tensor) -> tuple[Tensor, ...]:
        """phi(q), phi(k) and v, each `(B, H, L, K)`, in float32 at least."""
        d_model, num_heads = self.config.d_model, self.config.num_heads
        qkv_BLE = qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32))
        qk_BLE, v_BLD = torch.tensor_split(qkv_BLE, [2 * d_model], dim=2)
        q_BLD, k_BLD = (F.elu(qk_BLE) + 1.0).chunk(2, dim=2)
        return tuple(
            rearrange(part, "B L (H K) -> B H L K", H=num_heads) for part in (q_BLD, k_BLD, v_BLD)
        )


def _causal(q_BHLK: Tensor, k_BHLK: Tensor, v_BHLK: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over s <= t of (q_t . k_s) v_s, `(B, H, L, K)`, and of q_t . k_s, `(B, H, L, 1)`."""
    length = q_BHLK.shape[2]
    q_BHCIK, k_BHCIK, v_BHCIK = (_chunks(part) for part in (q_BHLK, k_BHLK, v_BHLK))
    k_BHCKI = k_BHCIK.transpose(-1, -2)
    scores_BHCII = (q_BHCIK @ k_BHCKI).tril()
    sum_BHCIK = scores_BHCII @ v_BHCIK
    total_BHCI1 = scores_BHCII.sum(-1, keepdim=True)
    if length > CHUNK:
        sum_BHCIK = sum_BHCIK + q_BHCIK @ _before(k_BHCKI @ v_BHCIK)
        total_BHCI1 = total_BHCI1 + q_BHCIK @ _before(k_BHCKI.sum(-1, keepdim=True))
    return sum_BHCIK.flatten(2, 3)[:, :, :length], total_BHCI1.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLK: Tensor) -> Tensor:
    """`(B, H, C, I, K)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLK.shape[2]
    if length <= CHUNK:
        return part_BHLK[:, :, None]
    padded_BHLK = F.pad(part_BHLK, (0, 0, 0, -length % CHUNK))
    return rearrange(padded_BHLK, "B H (C I) K -> B H C I K", I=CHUNK)


def _before(state_BHCKV: Tensor) -> Tensor:
    """The sum over the chunks before each one; the first has none."""
    return F.pad(state_BHCKV[:, :, :-1].cumsum(2), (0, 0, 0, 0, 1, 0))
