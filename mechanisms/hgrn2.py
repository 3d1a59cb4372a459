"""HGRN2: a gated linear recurrence whose input gate, one minus the forget gate, is the key.

Qin et al., "HGRN2: Gated Linear RNNs with State Expansion", 2024 (arXiv:2404.07904), section 3,
and its authors' code in Doraemonzzz/hgru2-pytorch.

    q_t = sigmoid(W_q x_t)                         the output gate; W_q (D, D)
    f_t = b + (1 - b) sigmoid(W_f x_t)             the forget gate, b = layer_index / num_layers
    v_t = silu(W_i x_t)                            the input; W_f, W_i (D, D)
    S_t = diag(f_t) S_(t-1) + (1 - f_t) v_t^T      (K, K) per head
    out_t = W_out LayerNorm(S_t^T q_t)             over all D channels; W_out (D, D)

Without causality a second S runs backwards over the same gates and S_t is the sum of both, so that
position t itself counts twice, as in that code.

Differences from the paper: the lower bound b is fixed at the value that its cumulated softmax over
the layers starts from, as a mechanism cannot share parameters with other layers; the state is
expanded K = D / H times, the heads being those of the host, where the paper takes 128 for language
and 1 to 8 on LRA; no biases but the norm's. log f is kept above -64, below which nothing is left of
the past. S is made once for each chunk of 16 positions, by an odd-even scan over chunks; within a
chunk the decay from s to t is the exponential of a difference of cumulated logarithms that is never
positive, (B, H, L, 16, K) numbers. Gates and sums are in float32 under autocast. Padding adds
nothing to S.

`kernel` is `torch`, or `fla-gla`, the same operator by flash-linear-attention on CUDA.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig
from lra_design.kernels import load_kernel

CHUNK = 16
EPSILON = 1e-5
LEAST_LOG = -64.0


class HGRN2(Mechanism):
    """Gated recurrence with an outer-product state; time O(L), decoding state (H, K, K)."""

    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig, kernel: str = "torch") -> None:
        """Raises ValueError for a kernel that is none, or not here."""
        super().__init__(config)
        if kernel not in ("torch", "fla-gla"):
            raise ValueError(f"kernel must be torch or fla-gla, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        self.lower_bound = config.layer_index / config.num_layers
        self.query = nn.Linear(config.d_model, config.d_model, bias=False)
        self.forget = nn.Linear(config.d_model, config.d_model, bias=False)
        self.value = nn.Linear(config.d_model, config.d_model, bias=False)
        self.norm = nn.LayerNorm(config.d_model, eps=EPSILON)
        self.out = nn.Linear(config.d_model, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        parts = (self.query(x), self.forget(x), self.value(x))
        with torch.autocast(x.device.type, enabled=False):
            q_BHLK, k_BHLK, v_BHLK, log_BHLK = self._heads(*parts)
            if self.config.causal:  # padding stands on the right: no real position sees it
                y_BHLK = self._mix(q_BHLK, k_BHLK, v_BHLK, log_BHLK)
            else:
                if key_padding_mask is not None:
                    k_BHLK = k_BHLK.masked_fill(key_padding_mask[:, None, :, None], 0.0)
                y_BHLK = self._mix_both_ways(q_BHLK, k_BHLK, v_BHLK, log_BHLK)
            y_BLD = self._normalise(y_BHLK)
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """S `(B, H, K, K)`, zero; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        num_heads = self.config.num_heads
        head_dim = self.config.d_model // num_heads
        return torch.zeros(
            batch_size,
            num_heads,
            head_dim,
            head_dim,
            device=device,
            dtype=torch.promote_types(dtype, torch.float32),
        )

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        x_B1D = x_t[:, None]
        parts = (self.query(x_B1D), self.forget(x_B1D), self.value(x_B1D))
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1K, k_BH1K, v_BH1V, log_BH1K = self._heads(*parts)
            s_BHKV = log_BH1K.mT.exp() * state + k_BH1K.mT @ v_BH1V
            y_BD = self._normalise(q_BH1K @ s_BHKV)[:, 0]
        out_BD: Tensor = self.dropout(self.out(y_BD))
        return out_BD, s_BHKV

    def _heads(self, *parts_BLD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, 1 - f, v and log f, each `(B, H, L, K)`, in float32 at least."""
        dtype = torch.promote_types(parts_BLD[0].dtype, torch.float32)
        q_BHLK, forget_BHLK, v_BHLV = (
            rearrange(part.to(dtype), "B L (H K) -> B H L K", H=self.config.num_heads)
            for part in parts_BLD
        )
        k_BHLK = (1.0 - self.lower_bound) * torch.sigmoid(-forget_BHLK)
        # Where there is a bound, 1 - f stays away from 1; where there is none, f can be tiny.
        log_BHLK = torch.log1p(-k_BHLK) if self.lower_bound else F.logsigmoid(forget_BHLK)
        return q_BHLK.sigmoid(), k_BHLK, F.silu(v_BHLV), log_BHLK.clamp(min=LEAST_LOG)

    def _mix(self, q_BHLK: Tensor, k_BHLK: Tensor, v_BHLV: Tensor, log_BHLK: Tensor) -> Tensor:
        """S_t^T q_t, `(B, H, L, V)`."""
        if self.fast is None:
            return _attend(q_BHLK, k_BHLK, v_BHLV, log_BHLK)
        parts = (part.transpose(1, 2) for part in (q_BHLK, k_BHLK, v_BHLV, log_BHLK))
        y_BLHV: Tensor = self.fast(*parts, scale=1.0)[0]
        return y_BLHV.transpose(1, 2)

    def _mix_both_ways(self, *parts_BHLK: Tensor) -> Tensor:
        """The sum of `_mix` over the past and over the future, both with the position itself."""
        both = (torch.cat([part, part.flip(2)]) for part in parts_BHLK)
        ahead_BHLK, back_BHLK = self._mix(*both).chunk(2)
        return ahead_BHLK + back_BHLK.flip(2)

    def _normalise(self, y_BHLV: Tensor) -> Tensor:
        """`(B, L, D)`."""
        y_BLD: Tensor = self.norm(rearrange(y_BHLV, "B H L V -> B L (H V)"))
        return y_BLD


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
