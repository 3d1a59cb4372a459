"""RetNet: linear attention whose past fades by a fixed factor, another one for each head.

Sun et al., "Retentive Network: A Successor to Transformer for Large Language Models", 2023
(arXiv:2307.08621), equations 5-8, and its code in microsoft/torchscale.

    q_t, k_t = W_q x_t, W_k x_t / sqrt(K)          W_q, W_k (H K, D), K = D / (2 H)
    v_t, g_t = W_v x_t, W_g x_t                    W_v, W_g (D, D), each head V = D / H
    S_t = gamma_h R S_(t-1) + k_t v_t^T            (K, V) per head, gamma_h = 1 - 2^(-5 - h);
                                                   R turns pair i by -10000^(-i / (K/2 - 1))
    out_t = W_out (silu(g_t) * RMSNorm_head(S_t^T q_t))     W_out (D, D)

Differences from the paper: the widths of key and value are D / 2 and D instead of D and 2 D, the
same two to one, which leaves the parameters of softmax attention; K is rounded up to an even
number. The norm is torchscale's, RMS without weights for the paper's GroupNorm; the factors that a
row of scores is divided by are left out, as the norm cancels them. S is made once for each chunk
of 64 positions (a masked product within a chunk, an odd-even scan over chunks), in float32 under
autocast.

`kernel` is `torch`, or `fla-retention`, the same operator by flash-linear-attention on CUDA.
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

CHUNK = 64
EPSILON = 1e-6


class RetNet(Mechanism):
    """Multi-scale retention; time O(L), decoding state (H, V, K)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig, kernel: str = "torch") -> None:
        """Raises ValueError unless `config.causal`, or for a kernel that is none or not here."""
        super().__init__(config)
        if not config.causal:
            raise ValueError("RetNet has no bidirectional form, build it with config.causal True")
        if kernel not in ("torch", "fla-retention"):
            raise ValueError(f"kernel must be torch or fla-retention, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        d_model, num_heads = config.d_model, config.num_heads
        self.key_dim = 2 * math.ceil(d_model / num_heads / 4)
        self.query = nn.Linear(d_model, num_heads * self.key_dim, bias=False)
        self.key = nn.Linear(d_model, num_heads * self.key_dim, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.gate = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        for linear in (self.query, self.key, self.value, self.gate):
            nn.init.xavier_uniform_(linear.weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.out.weight)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        q_BLE, k_BLE, v_BLD, gate_BLD = self.query(x), self.key(x), self.value(x), self.gate(x)
        with torch.autocast(x.device.type, enabled=False):
            q_BHLK, k_BHLK, v_BHLV = (self._heads(part) for part in (q_BLE, k_BLE, v_BLD))
            angle_LP = self._angles(torch.arange(x.shape[1], device=x.device), q_BHLK.dtype)
            q_BHLK = _rotate(q_BHLK, angle_LP)
            k_BHLK = _rotate(k_BHLK / math.sqrt(self.key_dim), angle_LP)
            y_BHLV = _normalise(self._mix(q_BHLK, k_BHLK, v_BHLV))
        y_BLD = F.silu(gate_BLD) * rearrange(y_BHLV, "B H L V -> B L (H V)")
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """S `(B, H, V, K)`, zero."""
        head_dim = self.config.d_model // self.config.num_heads
        shape = (batch_size, self.config.num_heads, head_dim, self.key_dim)
        return torch.zeros(shape, device=device, dtype=torch.promote_types(dtype, torch.float32))

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        x_B1D = x_t[:, None]
        q_B1E, k_B1E, v_B1D = self.query(x_B1D), self.key(x_B1D), self.value(x_B1D)
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1K, k_BH1K, v_BH1V = (self._heads(part) for part in (q_B1E, k_B1E, v_B1D))
            one_1P = self._angles(torch.ones(1, device=x_t.device), q_BH1K.dtype)
            gamma_H11 = _log_gamma(q_BH1K).exp()
            faded_BHVK = gamma_H11 * _rotate(state, -one_1P)
            s_BHVK = faded_BHVK + v_BH1V.mT @ (k_BH1K / math.sqrt(self.key_dim))
            y_BH1V = _normalise(q_BH1K @ s_BHVK.mT)
        y_BD = F.silu(self.gate(x_t)) * rearrange(y_BH1V, "B H 1 V -> B (H V)")
        out_BD: Tensor = self.dropout(self.out(y_BD))
        return out_BD, s_BHVK

    def _mix(self, *parts_BHLK: Tensor) -> Tensor:
        """The sum over s <= t of gamma^(t - s) (q_t . k_s) v_s, `(B, H, L, V)`."""
        if self.fast is None:
            return _retain(*parts_BHLK)
        y_BLHV: Tensor = self.fast(*(part.transpose(1, 2) for part in parts_BHLK), scale=1.0)[0]
        return y_BLHV.transpose(1, 2)

    def _heads(self, part_BLE: Tensor) -> Tensor:
        """`(B, H, L, K or V)`, in float32 at least."""
        part_BLE = part_BLE.to(torch.promote_types(part_BLE.dtype, torch.float32))
        return rearrange(part_BLE, "B L (H K) -> B H L K", H=self.config.num_heads)

    def _angles(self, position_L: Tensor, dtype: torch.dtype) -> Tensor:
        """By how much each position turns each of the P = K / 2 pairs, `(L, P)`."""
        num_pairs = self.key_dim // 2
        exponent_P = torch.arange(num_pairs, device=position_L.device, dtype=dtype)
        angle_P = 10000.0 ** (-exponent_P / max(num_pairs - 1, 1))
        return position_L.to(dtype)[:, None] * angle_P


def _rotate(part_BHLK: Tensor, angle_LP: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by its angle."""
    cos_LP, sin_LP = angle_LP.cos(), angle_LP.sin()
    a_BHLP, b_BHLP = rearrange(part_BHLK, "B H L (P two) -> two B H L P", two=2)
    turned_BHLPR = torch.stack(
        [a_BHLP * cos_LP - b_BHLP * sin_LP, a_BHLP * sin_LP + b_BHLP * cos_LP], dim=-1
    )
    return turned_BHLPR.flatten(-2)


def _log_gamma(q_BHLK: Tensor) -> Tensor:
    """`(H, 1, 1)`."""
    head_H = torch.arange(q_BHLK.shape[1], device=q_BHLK.device, dtype=q_BHLK.dtype)
    return torch.log1p(-(2.0 ** (-5.0 - head_H)))[:, None, None]


def _normalise(y_BHLV: Tensor) -> Tensor:
    return F.rms_norm(y_BHLV, y_BHLV.shape[-1:], eps=EPSILON)


def _retain(q_BHLK: Tensor, k_BHLK: Tensor, v_BHLV: Tensor) -> Tensor:
    """The sum over s <= t of gamma^(t - s) (q_t . k_s) v_s, `(B, H, L, V)`."""
    length = q_BHLK.shape[2]
    q_BHCIK, k_BHCIK, v_BHCIV = (_chunks(part) for part in (q_BHLK, k_BHLK, v_BHLV))
    log_gamma_H11 = _log_gamma(q_BHLK)
    i_I = torch.arange(q_BHCIK.shape[3], device=q_BHLK.device)
    lag_II = (i_I[:, None] - i_I).clamp(min=0)
    decay_H1II = (log_gamma_H11 * lag_II).exp().tril()[:, None]
    since_H1I1 = (log_gamma_H11 * (i_I[:, None] + 1)).exp()[:, None]
    until_H1I1 = decay_H1II[:, :, -1, :, None]
    y_BHCIV = ((q_BHCIK @ k_BHCIK.mT) * decay_H1II) @ v_BHCIV
    s_BHCKV = _scan((k_BHCIK * until_H1I1).mT @ v_BHCIV, since_H1I1[:, :, -1:])
    before_BHCKV = F.pad(s_BHCKV[:, :, :-1], (0, 0, 0, 0, 1, 0))
    y_BHCIV = y_BHCIV + (q_BHCIK * since_H1I1) @ before_BHCKV
    return y_BHCIV.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLK: Tensor) -> Tensor:
    """`(B, H, C, I, K)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLK.shape[2]
    size = min(CHUNK, length)
    padded_BHLK = F.pad(part_BHLK, (0, 0, 0, -length % size))
    return rearrange(padded_BHLK, "B H (C I) K -> B H C I K", I=size)


def _scan(s_BHCKV: Tensor, decay_H111: Tensor) -> Tensor:
    """h_c = decay h_(c-1) + s_c by pairs: the odd ones from half as many, then the even ones."""
    number = s_BHCKV.shape[2]
    if number == 1:
        return s_BHCKV
    padded_BHCKV = F.pad(s_BHCKV, (0, 0, 0, 0, 0, number % 2))
    even_BHPKV, odd_BHPKV = padded_BHCKV[:, :, ::2], padded_BHCKV[:, :, 1::2]
    odd_BHPKV = _scan(odd_BHPKV + decay_H111 * even_BHPKV, decay_H111 * decay_H111)
    before_BHPKV = F.pad(odd_BHPKV[:, :, :-1], (0, 0, 0, 0, 1, 0))
    even_BHPKV = even_BHPKV + decay_H111 * before_BHPKV
    return torch.stack([even_BHPKV, odd_BHPKV], dim=3).flatten(2, 3)[:, :, :number]
