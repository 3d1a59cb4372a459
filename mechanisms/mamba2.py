"""Mamba-2: a state space with one decay for each head, which is a masked linear attention.

Dao and Gu, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured
State Space Duality", 2024 (arXiv:2405.21060), sections 6 and 7, and its code in state-spaces/mamba.

    z_t, w_t, delta_t = W_in x_t                   W_in (2E + 2N + H, D), E = expand D
    u_t, b_t, c_t = silu(conv4(w)_t)               taps (E + 2N, 4), bias; u (H, K), K = E / H
    delta_t = softplus(delta_t + bias)             (H,); starts within 0.001 ... 0.1
    S_t = exp(-a delta_t) S_(t-1) + delta_t b_t u_t^T      (N, K) per head; a (H,), first 1 ... 16
    y_t = S_t^T c_t + skip u_t                     b, c shared by all heads, skip (H,)
    out_t = W_out RMSNorm(silu(z_t) * y_t)         over all E channels, weights (E,); W_out (D, E)

Differences from the paper: expand is 1 and not 2, N is 48 and not 64 or 128, which leaves the
parameters of softmax attention; the heads are those of the host, where the paper takes K = 64.
S is made once for each chunk of 64 positions (a masked product within a chunk, an odd-even scan
over chunks). The logarithm of a decay is kept above -64, below which nothing is left of the past.
The norm divides by the largest channel before it squares. Float32 under autocast but for the
projections and the convolution.

`kernel` is `torch`, or `mamba-ssd`, the same operator by mamba-ssm on CUDA.
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

CHUNK = 64
CONV_WIDTH = 4
EPSILON = 1e-5
LEAST_DELTA, MOST_DELTA = 0.001, 0.1
LEAST_LOG = -64.0


class Mamba2(Mechanism):
    """State space duality; time O(L), decoding state (H, N, K) and 3 rows of (E + 2N,)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "int", "low": 16, "high": 128, "log": True},
        "expand": {"type": "categorical", "choices": [1, 2]},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 48,
        expand: int = 1,
        kernel: str = "torch",
    ) -> None:
        """state_size: N. expand: E / D.

        Raises ValueError when one is 0, for a kernel that is none or not here, or unless causal.
        """
        super().__init__(config)
        if not config.causal:
            raise ValueError("Mamba-2 has no bidirectional form, build it with config.causal True")
        if state_size < 1:
            raise ValueError(f"state_size must be at least 1, found {state_size}")
        if expand < 1:
            raise ValueError(f"expand must be at least 1, found {expand}")
        if kernel not in ("torch", "mamba-ssd"):
            raise ValueError(f"kernel must be torch or mamba-ssd, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        num_heads, inner = config.num_heads, expand * config.d_model
        mixed = inner + 2 * state_size
        self.state_size, self.sizes = state_size, [inner, mixed, num_heads]
        self.into = nn.Linear(config.d_model, sum(self.sizes), bias=False)
        self.conv = nn.Conv1d(mixed, mixed, CONV_WIDTH, groups=mixed)
        self.delta_bias_H = nn.Parameter(_first_delta(num_heads))
        self.log_a_H = nn.Parameter(torch.empty(num_heads).uniform_(1.0, 16.0).log())
        self.skip_H = nn.Parameter(torch.ones(num_heads))
        self.norm_E = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        z_BLE, mixed_BLM, delta_BLH = self.into(x).split(self.sizes, dim=2)
        mixed_BLM = self._convolve(F.pad(mixed_BLM, (0, 0, CONV_WIDTH - 1, 0)))
        with torch.autocast(x.device.type, enabled=False):
            u_BHLK, b_B1LN, c_B1LN, delta_BHL1, log_BHL1 = self._heads(mixed_BLM, delta_BLH)
            y_BHLK = self._mix(c_B1LN, b_B1LN, u_BHLK, delta_BHL1, log_BHL1)
            y_BLE = self._finish(y_BHLK, u_BHLK, z_BLE)
        out_BLD: Tensor = self.dropout(self.out(y_BLE))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The last rows before the convolution `(B, 3, E + 2N)` and S `(B, H, N, K)`, zero."""
        inner, mixed, num_heads = self.sizes
        rows_BWM = torch.zeros(batch_size, CONV_WIDTH - 1, mixed, device=device, dtype=dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        shape = (batch_size, num_heads, self.state_size, inner // num_heads)
        return rows_BWM, torch.zeros(shape, device=device, dtype=dtype)

    def step(
        self, x_t: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        z_B1E, mixed_B1M, delta_B1H = self.into(x_t[:, None]).split(self.sizes, dim=2)
        window_BWM = torch.cat([state[0], mixed_B1M], dim=1)
        mixed_B1M = self._convolve(window_BWM)
        with torch.autocast(x_t.device.type, enabled=False):
            u_BH1K, b_B11N, c_B11N, delta_BH11, log_BH11 = self._heads(mixed_B1M, delta_B1H)
            s_BHNK = log_BH11.exp() * state[1] + b_B11N.mT * (delta_BH11 * u_BH1K)
            y_B1E = self._finish(c_B11N @ s_BHNK, u_BH1K, z_B1E)
        out_B1D = self.dropout(self.out(y_B1E))
        return out_B1D[:, 0], (window_BWM[:, 1:], s_BHNK)

    def _convolve(self, window_BWM: Tensor) -> Tensor:
        """`(B, L + 3, E + 2N)` to `(B, L, E + 2N)`."""
        return F.silu(self.conv(window_BWM.mT).mT)

    def _heads(self, mixed_BLM: Tensor, delta_BLH: Tensor) -> tuple[Tensor, ...]:
        """u `(B, H, L, K)`, b and c `(B, 1, L, N)`, delta and -a delta `(B, H, L, 1)`."""
        dtype = torch.promote_types(mixed_BLM.dtype, torch.float32)
        sizes = [self.sizes[0], self.state_size, self.state_size]
        u_BLE, b_BLN, c_BLN = torch.split(mixed_BLM.to(dtype), sizes, dim=2)
        u_BHLK = rearrange(u_BLE, "B L (H K) -> B H L K", H=self.config.num_heads)
        delta_BLH = F.softplus(delta_BLH.to(dtype) + self.delta_bias_H)
        log_BLH = (-self.log_a_H.exp() * delta_BLH).clamp(min=LEAST_LOG)
        return (
            u_BHLK,
            b_BLN[:, None],
            c_BLN[:, None],
            delta_BLH.mT[..., None],
            log_BLH.mT[..., None],
        )

    def _mix(
        self,
        c_B1LN: Tensor,
        b_B1LN: Tensor,
        u_BHLK: Tensor,
        delta_BHL1: Tensor,
        log_BHL1: Tensor,
    ) -> Tensor:
        """S_t^T c_t, `(B, H, L, K)`."""
        if self.fast is None:
            return _attend(c_B1LN, b_B1LN, delta_BHL1 * u_BHLK, log_BHL1)
        u_BLHK, b_BL1N, c_BL1N = (part.transpose(1, 2) for part in (u_BHLK, b_B1LN, c_B1LN))
        delta_BLH, a_H = delta_BHL1[..., 0].mT, -self.log_a_H.exp()
        y_BLHK: Tensor = self.fast(u_BLHK, delta_BLH, a_H, b_BL1N, c_BL1N, chunk_size=CHUNK)
        return y_BLHK.transpose(1, 2)

    def _finish(self, y_BHLK: Tensor, u_BHLK: Tensor, z_BLE: Tensor) -> Tensor:
        """The skip, the gate and the norm, `(B, L, E)`."""
        y_BHLK = y_BHLK + self.skip_H[:, None, None] * u_BHLK
        y_BLE = F.silu(z_BLE.to(y_BHLK.dtype)) * rearrange(y_BHLK, "B H L K -> B L (H K)")
        # A product of five projections: its square leaves float32 for inputs of 1e4.
        largest_BL1 = y_BLE.detach().abs().amax(-1, keepdim=True).clamp(min=1.0)
        y_BLE = y_BLE / largest_BL1
        square_BL1 = y_BLE.square().mean(-1, keepdim=True) + EPSILON / largest_BL1.square()
        return self.norm_E * y_BLE * square_BL1.rsqrt()


def _first_delta(size: int) -> Tensor:
    """Biases whose softplus is spread evenly in the logarithm between the two bounds."""
    low, high = math.log(LEAST_DELTA), math.log(MOST_DELTA)
    delta_H = (low + (high - low) * torch.rand(size)).exp()
    return delta_H + torch.log(-torch.expm1(-delta_H))


def _attend(c_B1LN: Tensor, b_B1LN: Tensor, u_BHLK: Tensor, log_BHL1: Tensor) -> Tensor:
    """S_t^T c_t, `(B, H, L, K)`."""
    length = u_BHLK.shape[2]
    c_B1CIN, b_B1CIN, u_BHCIK, log_BHCI1 = (
        _chunks(part) for part in (c_B1LN, b_B1LN, u_BHLK, log_BHL1)
    )
    since_BHCI1 = log_BHCI1.cumsum(3)
    whole_BHC11 = since_BHCI1[..., -1:, :]
    size = u_BHCIK.shape[3]
    ahead_II = torch.ones(size, size, dtype=torch.bool, device=u_BHLK.device).triu(1)
    decay_BHCII = (since_BHCI1 - since_BHCI1.mT).masked_fill(ahead_II, -math.inf).exp()
    y_BHCIK = ((c_B1CIN @ b_B1CIN.mT) * decay_BHCII) @ u_BHCIK
    left_BHCIK = (whole_BHC11 - since_BHCI1).exp() * u_BHCIK
    s_BHCNK = _scan(whole_BHC11.exp(), b_B1CIN.mT @ left_BHCIK)
    before_BHCNK = F.pad(s_BHCNK[:, :, :-1], (0, 0, 0, 0, 1, 0))
    y_BHCIK = y_BHCIK + since_BHCI1.exp() * (c_B1CIN @ before_BHCNK)
    return y_BHCIK.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLK: Tensor) -> Tensor:
    """`(B, H, C, I, K)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLK.shape[2]
    size = min(CHUNK, length)
    padded_BHLK = F.pad(part_BHLK, (0, 0, 0, -length % size))
    return rearrange(padded_BHLK, "B H (C I) K -> B H C I K", I=size)


def _scan(decay_BHC11: Tensor, s_BHCNK: Tensor) -> Tensor:
    """h_c = decay_c h_(c-1) + s_c by pairs: the odd ones from half as many, then the even ones."""
    number = s_BHCNK.shape[2]
    if number == 1:
        return s_BHCNK
    filler = (0, 0, 0, 0, 0, number % 2)
    decay_BHC11, s_BHCNK = F.pad(decay_BHC11, filler), F.pad(s_BHCNK, filler)
    even_BHP11, odd_BHP11 = decay_BHC11[:, :, ::2], decay_BHC11[:, :, 1::2]
    odd_BHPNK = _scan(odd_BHP11 * even_BHP11, s_BHCNK[:, :, 1::2] + odd_BHP11 * s_BHCNK[:, :, ::2])
    before_BHPNK = F.pad(odd_BHPNK[:, :, :-1], (0, 0, 0, 0, 1, 0))
    even_BHPNK = s_BHCNK[:, :, ::2] + even_BHP11 * before_BHPNK
    return torch.stack([even_BHPNK, odd_BHPNK], dim=3).flatten(2, 3)[:, :, :number]
