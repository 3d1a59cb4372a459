"""Gated linear attention: each key channel forgets at a rate that the input decides.

Yang et al., "Gated Linear Attention Transformers with Hardware-Efficient Training", 2023
(arXiv:2312.06635), sections 4.1 to 4.4, and its code in fla-org/flash-linear-attention.

    q_t, k_t = W_q x_t / sqrt(K), W_k x_t          W_q, W_k (H K, D), K = D / (2 H)
    v_t, g_t = W_v x_t, W_g x_t                    W_v, W_g (D, D), each head V = D / H
    alpha_t = sigmoid(W_b W_a x_t + b)^(1 / temperature)    W_a (rank, D), W_b (H K, rank)
    S_t = diag(alpha_t) S_(t-1) + k_t v_t^T        (K, V) per head
    out_t = W_out (silu(g_t) * RMSNorm_head(S_t^T q_t))     W_out (D, D); norm weights (V,)

Differences from the paper: the norm is that code's RMS norm and the output gate has no bias, as
there; K is rounded up to a whole number; log alpha is kept above -64, below which nothing is left
of the past. S is made once for each chunk of 16 positions, by an odd-even scan over chunks; within
a chunk the decay from s to t is the exponential of a difference of cumulated logarithms that is
never positive, (B, H, L, 16, K) numbers, which is what the paper's second level of chunks does on
its diagonal blocks. Gates and sums are in float32 under autocast.

`kernel` is `torch`, or `fla-gla`, the same operator by flash-linear-attention on CUDA.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig
from lra_design.kernels import load_kernel

CHUNK = 16
EPSILON = 1e-5
LEAST_LOG = -64.0


class GatedLinearAttention(Mechanism):
    """Linear attention with gates on the keys; time O(L), decoding state (H, K, V)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "rank": {"type": "int", "low": 4, "high": 32, "log": True},
        "temperature": {"type": "float", "low": 1.0, "high": 32.0, "log": True},
    }

    def __init__(
        self,
        config: MechanismConfig,
        rank: int = 16,
        temperature: float = 16.0,
        kernel: str = "torch",
    ) -> None:
        """rank: inner width of the gate's projection. temperature: the root taken of the gate.

        Raises ValueError when one is not positive, for a kernel that is none or not here, or
        unless `config.causal`.
        """
        super().__init__(config)
        if not config.causal:
            raise ValueError("GLA has no bidirectional form, build it with config.causal True")
        if rank < 1:
            raise ValueError(f"rank must be at least 1, found {rank}")
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, found {temperature}")
        if kernel not in ("torch", "fla-gla"):
            raise ValueError(f"kernel must be torch or fla-gla, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        d_model, num_heads = config.d_model, config.num_heads
        self.temperature = temperature
        self.key_dim = math.ceil(d_model / num_heads / 2)
        self.query = nn.Linear(d_model, num_heads * self.key_dim, bias=False)
        self.key = nn.Linear(d_model, num_heads * self.key_dim, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.gate = nn.Linear(d_model, d_model, bias=False)
        self.forget = nn.Sequential(
            nn.Linear(d_model, rank, bias=False), nn.Linear(rank, num_heads * self.key_dim)
        )
        self.norm_V = nn.Parameter(torch.ones(d_model // num_heads))
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        parts = (self.query(x), self.key(x), self.value(x), self.forget(x))
        with torch.autocast(x.device.type, enabled=False):
            q_BHLK, k_BHLK, v_BHLV, log_BHLK = self._heads(*parts)
            y_BHLV = self._mix(q_BHLK, k_BHLK, v_BHLV, log_BHLK)
            y_BLD = self._normalise(y_BHLV)
        out_BLD: Tensor = self.dropout(self.out(F.silu(self.gate(x)) * y_BLD))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """S `(B, H, K, V)`, zero."""
        head_dim = self.config.d_model // self.config.num_heads
        shape = (batch_size, self.config.num_heads, self.key_dim, head_dim)
        return torch.zeros(shape, device=device, dtype=torch.promote_types(dtype, torch.float32))

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        x_B1D = x_t[:, None]
        parts = (self.query(x_B1D), self.key(x_B1D), self.value(x_B1D), self.forget(x_B1D))
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1K, k_BH1K, v_BH1V, log_BH1K = self._heads(*parts)
            s_BHKV = log_BH1K.mT.exp() * state + k_BH1K.mT @ v_BH1V
            y_BD = self._normalise(q_BH1K @ s_BHKV)[:, 0]
        out_BD: Tensor = self.dropout(self.out(F.silu(self.gate(x_t)) * y_BD))
        return out_BD, s_BHKV

    def _heads(self, *parts_BLE: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v and log alpha, each `(B, H, L, K or V)`, in float32 at least."""
        dtype = torch.promote_types(parts_BLE[0].dtype, torch.float32)
        q_BHLK, k_BHLK, v_BHLV, forget_BHLK = (
            rearrange(part.to(dtype), "B L (H K) -> B H L K", H=self.config.num_heads)
            for part in parts_BLE
        )
        log_BHLK = (F.logsigmoid(forget_BHLK) / self.temperature).clamp(min=LEAST_LOG)
        return q_BHLK / math.sqrt(self.key_dim), k_BHLK, v_BHLV, log_BHLK

    def _mix(self, q_BHLK: Tensor, k_BHLK: Tensor, v_BHLV: Tensor, log_BHLK: Tensor) -> Tensor:
        """S_t^T q_t, `(B, H, L, V)`."""
        if self.fast is None:
            return _attend(q_BHLK, k_BHLK, v_BHLV, log_BHLK)
        parts = (part.transpose(1, 2) for part in (q_BHLK, k_BHLK, v_BHLV, log_BHLK))
        y_BLHV: Tensor = self.fast(*parts, scale=1.0)[0]
        return y_BLHV.transpose(1, 2)

    def _normalise(self, y_BHLV: Tensor) -> Tensor:
        """`(B, L, D)`."""
        y_BHLV = F.rms_norm(y_BHLV, y_BHLV.shape[-1:], self.norm_V, EPSILON)
        return rearrange(y_BHLV, "B H L V -> B L (H V)")


def _attend(q_BHLK: Tensor, k_BHLK: Tensor, v_BHLV: Tensor, log_BHLK: Tensor) -> Tensor:
    """S_t^T q_t, `(B, H, L, V)`."""
    length = q_BHLK.shape[2]
    q_BHCIK, k_BHCIK, v_BHCIV, log_BHCIK = (
        _chunks(part) for part in (q_BHLK, k_BHLK, v_BHLV, log_BHLK)
    )
    since_BHCIK = log_BHCIK.cumsum(3)
    span_BHCIJK = since_BHCIK[..., :, None, :] - since_BHCIK[..., None, :, :]
    size = q_BHCIK.shape[3]
    ahead_IJ1 = torch.ones(size, size, dtype=torch.bool, device=q_BHLK.device).triu(1)[..., None]
    decay_BHCIJK = span_BHCIJK.masked_fill(ahead_IJ1, -math.inf).exp()
    scores_BHCIJ = ((decay_BHCIJK * k_BHCIK[..., None, :, :]) @ q_BHCIK[..., None])[..., 0]
    whole_BHC1K = since_BHCIK[..., -1:, :]
    s_BHCKV = _scan(
        whole_BHC1K.mT.exp(), (k_BHCIK * (whole_BHC1K - since_BHCIK).exp()).mT @ v_BHCIV
    )
    before_BHCKV = F.pad(s_BHCKV[:, :, :-1], (0, 0, 0, 0, 1, 0))
    y_BHCIV = scores_BHCIJ @ v_BHCIV + (q_BHCIK * since_BHCIK.exp()) @ before_BHCKV
    return y_BHCIV.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLK: Tensor) -> Tensor:
    """`(B, H, C, I, K)`: chunks of 16 positions, the last filled with zeros; one if it fits."""
    length = part_BHLK.shape[2]
    size = min(CHUNK, length)
    padded_BHLK = F.pad(part_BHLK, (0, 0, 0, -length % size))
    return rearrange(padded_BHLK, "B H (C I) K -> B H C I K", I=size)


def _scan(decay_BHCK1: Tensor, s_BHCKV: Tensor) -> Tensor:
    """h_c = decay_c h_(c-1) + s_c by pairs: the odd ones from half as many, then the even ones."""
    number = s_BHCKV.shape[2]
    if number == 1:
        return s_BHCKV
    filler = (0, 0, 0, 0, 0, number % 2)
    decay_BHCK1, s_BHCKV = F.pad(decay_BHCK1, filler), F.pad(s_BHCKV, filler)
    even_BHPK1, odd_BHPK1 = decay_BHCK1[:, :, ::2], decay_BHCK1[:, :, 1::2]
    odd_BHPKV = _scan(odd_BHPK1 * even_BHPK1, s_BHCKV[:, :, 1::2] + odd_BHPK1 * s_BHCKV[:, :, ::2])
    before_BHPKV = F.pad(odd_BHPKV[:, :, :-1], (0, 0, 0, 0, 1, 0))
    even_BHPKV = s_BHCKV[:, :, ::2] + even_BHPK1 * before_BHPKV
    return torch.stack([even_BHPKV, odd_BHPKV], dim=3).flatten(2, 3)[:, :, :number]
