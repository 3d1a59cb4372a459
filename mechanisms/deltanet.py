"""DeltaNet: linear attention that replaces what it remembers under a key instead of adding to it.

Yang et al., "Parallelizing Linear Transformers with the Delta Rule over Sequence Length", 2024
(arXiv:2406.06484), sections 2.2 and 3, and its code in fla-org/flash-linear-attention. The rule is
that of Schlag et al., "Linear Transformers Are Secretly Fast Weight Programmers", 2021
(arXiv:2102.11174).

    q_t, k_t, v_t = silu(conv4(W_qkv x_t))         W_qkv (3D, D), taps (3D, 4), each of (H, K)
    q_t, k_t = q_t / |q_t| / sqrt(K), k_t / |k_t|  |a| = sqrt(a . a + 1e-6), per head
    beta_t = sigmoid(W_beta x_t)                   W_beta (H, D)
    S_t = S_(t-1) + beta_t k_t (v_t - S_(t-1)^T k_t)^T      (K, K) per head
    out_t = W_out RMSNorm_head(S_t^T q_t)          norm weights (K,), W_out (D, D)

Within a chunk of 64 positions, K, V, beta as matrices (I, K), (I, K), (I, 1):

    (1 + tril(beta K K^T, -1)) [W, U] = beta [K, V]         solved as a triangular system
    S_(c+1) = (1 - K^T W) S_c + K^T U              S_c, what stands before the chunk
    Y = Q S_c + tril(Q K^T) (U - W S_c)

Differences from the paper: S is carried over the chunks by an odd-even scan of the pairs
(1 - K^T W, K^T U) and not one by one, which costs a product of (K, K) matrices more for each
chunk; all but the projections is in float32 under autocast.

`kernel` is `torch`, or `fla-delta-rule`, the same operator by flash-linear-attention on CUDA.
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
CONV_WIDTH = 4
NORM_EPSILON = 1e-5
LENGTH_EPSILON = 1e-6


class DeltaNet(Mechanism):
    """The delta rule in chunks; time O(L), decoding state (H, K, K) and 3 rows of (3D,)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0

    def __init__(self, config: MechanismConfig, kernel: str = "torch") -> None:
        """Raises ValueError unless `config.causal`, or for a kernel that is none or not here."""
        super().__init__(config)
        if not config.causal:
            raise ValueError("DeltaNet has no bidirectional form, build it with config.causal True")
        if kernel not in ("torch", "fla-delta-rule"):
            raise ValueError(f"kernel must be torch or fla-delta-rule, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        d_model = config.d_model
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.conv = nn.Conv1d(3 * d_model, 3 * d_model, CONV_WIDTH, groups=3 * d_model, bias=False)
        self.beta = nn.Linear(d_model, config.num_heads, bias=False)
        self.norm_K = nn.Parameter(torch.ones(d_model // config.num_heads))
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        window_BWE = F.pad(self.qkv(x), (0, 0, CONV_WIDTH - 1, 0))
        beta_BLH = self.beta(x)
        with torch.autocast(x.device.type, enabled=False):
            y_BHLK = self._mix(*self._heads(window_BWE, beta_BLH))
            y_BLD = self._normalise(y_BHLK)
        out_BLD: Tensor = self.dropout(self.out(y_BLD))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The last rows before the convolution `(B, 3, 3D)` and S `(B, H, K, K)`, zero."""
        d_model, num_heads = self.config.d_model, self.config.num_heads
        head_dim = d_model // num_heads
        rows_BWE = torch.zeros(batch_size, CONV_WIDTH - 1, 3 * d_model, device=device, dtype=dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        shape = (batch_size, num_heads, head_dim, head_dim)
        return rows_BWE, torch.zeros(shape, device=device, dtype=dtype)

    def step(
        self, x_t: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        x_B1D = x_t[:, None]
        window_BWE = torch.cat([state[0], self.qkv(x_B1D)], dim=1)
        beta_B1H = self.beta(x_B1D)
        with torch.autocast(x_t.device.type, enabled=False):
            q_BH1K, k_BH1K, v_BH1K, beta_BH11 = self._heads(window_BWE, beta_B1H)
            change_BH1K = beta_BH11 * (v_BH1K - k_BH1K @ state[1])
            s_BHKK = state[1] + k_BH1K.mT @ change_BH1K
            y_BD = self._normalise(q_BH1K @ s_BHKK)[:, 0]
        out_BD: Tensor = self.dropout(self.out(y_BD))
        return out_BD, (window_BWE[:, 1:], s_BHKK)

    def _heads(self, window_BWE: Tensor, beta_BLH: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q, k, v `(B, H, L, K)` and beta `(B, H, L, 1)`, in float32 at least.

        window_BWE: the projections, `(B, L + 3, 3D)`.
        """
        dtype = torch.promote_types(window_BWE.dtype, torch.float32)
        qkv_BLE = F.silu(self.conv(window_BWE.to(dtype).mT).mT)
        q_BHLK, k_BHLK, v_BHLK = rearrange(
            qkv_BLE,
            "B L (three H K) -> three B H L K",
            three=3,
            H=self.config.num_heads,
        )
        q_BHLK = _unit(q_BHLK) / math.sqrt(q_BHLK.shape[-1])
        beta_BHL1 = beta_BLH.to(dtype).sigmoid().mT[..., None]
        return q_BHLK, _unit(k_BHLK), v_BHLK, beta_BHL1

    def _mix(self, *parts_BHLK: Tensor) -> Tensor:
        """S_t^T q_t, `(B, H, L, K)`, of q, k, v and beta."""
        if self.fast is None:
            return _delta(*parts_BHLK)
        q_BLHK, k_BLHK, v_BLHK, beta_BLH1 = (part.transpose(1, 2) for part in parts_BHLK)
        y_BLHK: Tensor = self.fast(q_BLHK, k_BLHK, v_BLHK, beta_BLH1[..., 0], scale=1.0)[0]
        return y_BLHK.transpose(1, 2)

    def _normalise(self, y_BHLK: Tensor) -> Tensor:
        """`(B, L, D)`."""
        y_BHLK = F.rms_norm(y_BHLK, y_BHLK.shape[-1:], self.norm_K, NORM_EPSILON)
        return rearrange(y_BHLK, "B H L K -> B L (H K)")


def _unit(part_BHLK: Tensor) -> Tensor:
    length_BHL1 = (part_BHLK.square().sum(-1, keepdim=True) + LENGTH_EPSILON).sqrt()
    return part_BHLK / length_BHL1


def _delta(q_BHLK: Tensor, k_BHLK: Tensor, v_BHLK: Tensor, beta_BHL1: Tensor) -> Tensor:
    """S_t^T q_t, `(B, H, L, K)`."""
    length, head_dim = q_BHLK.shape[2:]
    q_BHCIK, k_BHCIK, v_BHCIK, beta_BHCI1 = (
        _chunks(part) for part in (q_BHLK, k_BHLK, v_BHLK, beta_BHL1)
    )
    overlap_BHCII = (beta_BHCI1 * (k_BHCIK @ k_BHCIK.mT)).tril(-1)
    wu_BHCIE: Tensor = torch.linalg.solve_triangular(
        overlap_BHCII,
        beta_BHCI1 * torch.cat([k_BHCIK, v_BHCIK], dim=-1),
        upper=False,
        unitriangular=True,
    )
    w_BHCIK, u_BHCIK = wu_BHCIE.chunk(2, dim=-1)
    one_KK = torch.eye(head_dim, device=q_BHLK.device, dtype=q_BHLK.dtype)
    s_BHCKK = _scan(one_KK - k_BHCIK.mT @ w_BHCIK, k_BHCIK.mT @ u_BHCIK)
    before_BHCKK = F.pad(s_BHCKK[:, :, :-1], (0, 0, 0, 0, 1, 0))
    change_BHCIK = u_BHCIK - w_BHCIK @ before_BHCKK
    y_BHCIK = q_BHCIK @ before_BHCKK + (q_BHCIK @ k_BHCIK.mT).tril() @ change_BHCIK
    return y_BHCIK.flatten(2, 3)[:, :, :length]


def _chunks(part_BHLK: Tensor) -> Tensor:
    """`(B, H, C, I, K)`: chunks of 64 positions, the last filled with zeros; one if it fits."""
    length = part_BHLK.shape[2]
    size = min(CHUNK, length)
    padded_BHLK = F.pad(part_BHLK, (0, 0, 0, -length % size))
    return rearrange(padded_BHLK, "B H (C I) K -> B H C I K", I=size)


def _scan(keep_BHCKK: Tensor, add_BHCKK: Tensor) -> Tensor:
    """S_c = keep_c S_(c-1) + add_c by pairs: the odd ones from half as many, then the even ones."""
    number = add_BHCKK.shape[2]
    if number == 1:
        return add_BHCKK
    filler = (0, 0, 0, 0, 0, number % 2)
    keep_BHCKK, add_BHCKK = F.pad(keep_BHCKK, filler), F.pad(add_BHCKK, filler)
    even_BHPKK, odd_BHPKK = keep_BHCKK[:, :, ::2], keep_BHCKK[:, :, 1::2]
    s_odd_BHPKK = _scan(
        odd_BHPKK @ even_BHPKK, add_BHCKK[:, :, 1::2] + odd_BHPKK @ add_BHCKK[:, :, ::2]
    )
    before_BHPKK = F.pad(s_odd_BHPKK[:, :, :-1], (0, 0, 0, 0, 1, 0))
    s_even_BHPKK = add_BHCKK[:, :, ::2] + even_BHPKK @ before_BHPKK
    return torch.stack([s_even_BHPKK, s_odd_BHPKK], dim=3).flatten(2, 3)[:, :, :number]
