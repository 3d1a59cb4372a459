"""Performer: softmax attention estimated with positive random features, so that sums factorise.

Choromanski et al., "Rethinking Attention with Performers", 2020 (arXiv:2009.14794), FAVOR+:
equations 4-7 and lemma 1, orthogonal features of section 2.4.

    q_t, k_t, v_t = W_qkv x_t                      W_qkv (3D, D), each of q, k, v (H, K);
                                                   q and k are divided by K^(1/4)
    phi(x)_i = exp(w_i . x - |x|^2 / 2) / sqrt(M)  M features; w_i (K,) is Gaussian, and the w_i
                                                   of a block of K are orthogonal to each other
    S_t = sum_s phi(k_s) [v_s, 1]^T                (M, K + 1) per head; over s <= t when causal
    out_t = W_out (phi(q_t)^T S_t, divided by its last number)     W_out (D, D)

The mean of phi(q) . phi(k) over the draws of w is exp(q . k), the weight of softmax attention.

Differences from the paper: no biases. Features are drawn once, in `__init__`, the same for all
heads, and not drawn again during training. As in the authors' code, the largest exponent of a
query is subtracted, which cancels, and 1e-4 is added to every feature. Their code subtracts the
largest exponent of all keys, too, which a causal mechanism cannot know: here nothing is
subtracted from a key's, which is at most |w_i|^2 / 2, and it is cut at 60 (out of reach of heads
of up to 64 numbers). The causal form is computed in chunks of 64 positions (a masked product
within a chunk, S between chunks). All of it runs in float32 under autocast.
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
EPSILON = 1e-4
LARGEST_EXPONENT = 60.0


class Performer(Mechanism):
    """Multi-head FAVOR+ attention; time O(L M), decoding state (H, M, K + 1)."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "num_features": {"type": "int", "low": 64, "high": 256, "log": True},
    }
    w_KM: Tensor

    def __init__(self, config: MechanismConfig, num_features: int = 256) -> None:
        """num_features: M. Raises ValueError when there is none."""
        super().__init__(config)
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, found {num_features}")
        head_dim = config.d_model // config.num_heads
        self.register_buffer("w_KM", _orthogonal_features(head_dim, num_features))
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        qkv_BLE = self.qkv(x)
        with torch.autocast(x.device.type, enabled=False):
            q_BHLM, k_BHLM, v_BHLV = self._features(qkv_BLE)
            if self.config.causal:  # padding stands on the right: no real position sees it
                sums_BHLV = _causal(q_BHLM, k_BHLM, v_BHLV)
            else:
                if key_padding_mask is not None:
                    k_BHLM = k_BHLM.masked_fill(_hidden_keys(key_padding_mask), 0.0)
                sums_BHLV = q_BHLM @ (k_BHLM.transpose(-1, -2) @ v_BHLV)
            y_BHLK = sums_BHLV[..., :-1] / sums_BHLV[..., -1:]
        out_BLD: Tensor = self.dropout(self.out(rearrange(y_BHLK, "B H L K -> B L (H K)")))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """S `(B, H, M, K + 1)`, zero; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        head_dim, num_features = self.w_KM.shape
        return torch.zeros(
            batch_size,
            self.config.num_heads,
            num_features,
            head_dim + 1,
            device=device,
            dtype=torch.promote_types(dtype, torch.float32),
        )

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        qkv_B1E = self.qkv(x_t[:, None])
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1M, k_BH1M, v_BH1V = self._features(qkv_B1E)
            s_BHMV = state + k_BH1M.transpose(-1, -2) @ v_BH1V
            sums_BH1V = q_BH1M @ s_BHMV
            y_BH1K = sums_BH1V[..., :-1] / sums_BH1V[..., -1:]
        out_BD: Tensor = self.dropout(self.out(rearrange(y_BH1K, "B H 1 K -> B (H K)")))
        return out_BD, s_BHMV

    def _features(self, qkv_BLE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """phi(q) and phi(k), `(B, H, L, M)`, and [v, 1], `(B, H, L, K + 1)`."""
        head_dim, num_features = self.w_KM.shape
        q_BHLK, k_BHLK, v_BHLK = rearrange(
            qkv_BLE.to(torch.promote_types(qkv_BLE.dtype, torch.float32)),
            "B L (three H K) -> three B H L K",
            three=3,
            H=self.config.num_heads,
        )
        scale = head_dim**-0.25
        q_BHLK, k_BHLK = scale * q_BHLK, scale * k_BHLK
        w_KM = self.w_KM.to(q_BHLK.dtype)
        q_BHLM = q_BHLK @ w_KM  # |q|^2 / 2 cancels with the largest exponent
        k_BHLM = k_BHLK @ w_KM - k_BHLK.square().sum(-1, keepdim=True) / 2
        phi_q_BHLM = (q_BHLM - q_BHLM.amax(-1, keepdim=True)).exp() + EPSILON
        phi_k_BHLM = k_BHLM.clamp(max=LARGEST_EXPONENT).exp() + EPSILON
        return phi_q_BHLM, phi_k_BHLM / num_features, F.pad(v_BHLK, (0, 1), value=1.0)


def _orthogonal_features(head_dim: int, num_features: int) -> Tensor:
    """`(K, M)`: uniformly random directions, orthogonal in blocks of K, with Gaussian lengths."""
    num_blocks = math.ceil(num_features / head_dim)
    q_CKK, r_CKK = torch.linalg.qr(torch.randn(num_blocks, head_dim, head_dim))
    # Without the signs the directions would follow the convention of the decomposition.
    q_CKK = q_CKK * r_CKK.diagonal(dim1=-2, dim2=-1).sign()[:, None, :]
    directions_KM = rearrange(q_CKK, "C K J -> K (C J)")[:, :num_features]
    features_KM: Tensor = directions_KM * torch.randn(num_features, head_dim).norm(dim=1)
    return features_KM.contiguous()


def _hidden_keys(key_padding_mask: Tensor) -> Tensor:
    """`(B, 1, L, 1)`, True = takes no part.

    Position 0 always does: it is real unless the whole row is padding, which would divide by 0.
    """
    hidden_BL = key_padding_mask.clone()
    hidden_BL[:, 0] = False
    return hidden_BL[:, None, :, None]


def _causal(q_BHLM: Tensor, k_BHLM: Tensor, v_BHLV: Tensor) -> Tensor:
    """The sum over s <= t of (q_t . k_s) v_s, `(B, H, L, V)`."""
    length = q_BHLM.shape[2]
    q_BHCIM, k_BHCIM, v_BHCIV = (_chunks(part) for part in (q_BHLM, k_BHLM, v_BHLV))
    k_BHCMI = k_BHCIM.transpose(-1, -2)
    sums_BHCIV = (q_BHCIM @ k_BHCMI).tril() @ v_BHCIV
    if length > CHUNK:
        state_BHCMV = (k_BHCMI[:, :, :-1] @ v_BHCIV[:, :, :-1]).cumsum(2)
        sums_BHCIV = sums_BHCIV + q_BHCIM @ F.pad(state_BHCMV, (0, 0, 0, 0, 1, 0))
    return sums_BHCIV.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLE: Tensor) -> Tensor:
    """`(B, H, C, I, E)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLE.shape[2]
    if length <= CHUNK:
        return part_BHLE[:, :, None]
    padded_BHLE = F.pad(part_BHLE, (0, 0, 0, -length % CHUNK))
    return rearrange(padded_BHLE, "B H (C I) E -> B H C I E", I=CHUNK)
