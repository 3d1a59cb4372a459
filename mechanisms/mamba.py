"""Mamba: a diagonal state space whose step size, input and output depend on the input.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023
(arXiv:2312.00752), algorithm 2, section 3.4 and its code in state-spaces/mamba.

    u_t, z_t = W_in x_t                            W_in (2E, D), E = expand D
    u_t = silu(conv4(u)_t)                         taps (E, 4), bias (E,)
    r_t, b_t, c_t = W_x u_t                        W_x (R + 2N, E), R = ceil(D / 16)
    delta_t = softplus(W_delta r_t + bias)         W_delta (E, R); starts within 0.001 ... 0.1
    h_t = exp(delta_t A) h_(t-1) + delta_t u_t b_t (E, N); A = -exp(log_a) (E, N), first -1 ... -N
    y_t = h_t c_t + skip * u_t                     (E,)
    out_t = W_out (silu(z_t) * y_t)                W_out (D, E)

Differences from the paper: expand is 1 and not 2, which leaves the parameters of softmax attention.
The scan is an odd-even one over all of h, which is held in memory, (B, L, E, N) numbers, where the
paper's kernel makes it again in the backward pass; it runs in float32 under autocast.

`kernel` is `torch`, or `mamba-selective-scan`, the same operator by mamba-ssm, in float32, on CUDA.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig
from lra_design.kernels import load_kernel

CONV_WIDTH = 4
LEAST_DELTA, MOST_DELTA = 0.001, 0.1


class Mamba(Mechanism):
    """A selective state space; time O(L), decoding state (E, N) and 3 rows of (E,)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "int", "low": 4, "high": 64, "log": True},
        "expand": {"type": "categorical", "choices": [1, 2]},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 16,
        expand: int = 1,
        kernel: str = "torch",
    ) -> None:
        """state_size: N. expand: E / D.

        Raises ValueError when one is 0, for a kernel that is none or not here, or unless causal.
        """
        super().__init__(config)
        if not config.causal:
            raise ValueError("Mamba has no bidirectional form, build it with config.causal True")
        if state_size < 1:
            raise ValueError(f"state_size must be at least 1, found {state_size}")
        if expand < 1:
            raise ValueError(f"expand must be at least 1, found {expand}")
        if kernel not in ("torch", "mamba-selective-scan"):
            raise ValueError(f"kernel must be torch or mamba-selective-scan, found '{kernel}'")
        self.fast = None if kernel == "torch" else load_kernel(kernel)
        d_model, inner = config.d_model, expand * config.d_model
        self.rank, self.state_size = math.ceil(d_model / 16), state_size
        self.into = nn.Linear(d_model, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, CONV_WIDTH, groups=inner)
        self.select = nn.Linear(inner, self.rank + 2 * state_size, bias=False)
        self.delta = nn.Linear(self.rank, inner)
        self.log_a_EN = nn.Parameter(torch.arange(1.0, state_size + 1).log().repeat(inner, 1))
        self.skip_E = nn.Parameter(torch.ones(inner))
        self.out = nn.Linear(inner, d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.uniform_(self.delta.weight, -(self.rank**-0.5), self.rank**-0.5)
        with torch.no_grad():
            self.delta.bias.copy_(_first_delta(inner))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        u_BLE, z_BLE = self.into(x).chunk(2, dim=2)
        u_BLE = self._convolve(F.pad(u_BLE, (0, 0, CONV_WIDTH - 1, 0)))
        selected = self._select(u_BLE)
        with torch.autocast(x.device.type, enabled=False):
            y_BLE = self._scan(u_BLE, *selected) + self.skip_E * u_BLE
        out_BLD: Tensor = self.dropout(self.out(F.silu(z_BLE) * y_BLE))
        return out_BLD

    def init_state(
        self, batch_size: int, device: torch.device, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """The last rows before the convolution `(B, 3, E)` and h `(B, E, N)`, zero."""
        inner = self.skip_E.shape[0]
        rows_BWE = torch.zeros(batch_size, CONV_WIDTH - 1, inner, device=device, dtype=dtype)
        dtype = torch.promote_types(dtype, torch.float32)
        h_BEN = torch.zeros(batch_size, inner, self.state_size, device=device, dtype=dtype)
        return rows_BWE, h_BEN

    def step(
        self, x_t: Tensor, state: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        u_B1E, z_B1E = self.into(x_t[:, None]).chunk(2, dim=2)
        window_BWE = torch.cat([state[0], u_B1E], dim=1)
        u_B1E = self._convolve(window_BWE)
        selected = self._select(u_B1E)
        with torch.autocast(x_t.device.type, enabled=False):
            decay_B1EN, add_B1EN, c_B1N, u_B1E = self._coefficients(u_B1E, *selected)
            h_B1EN = decay_B1EN * state[1][:, None] + add_B1EN
            y_B1E = (h_B1EN @ c_B1N[..., None])[..., 0] + self.skip_E * u_B1E
        out_B1D = self.dropout(self.out(F.silu(z_B1E) * y_B1E))
        return out_B1D[:, 0], (window_BWE[:, 1:], h_B1EN[:, 0])

    def _convolve(self, window_BWE: Tensor) -> Tensor:
        """`(B, L + 3, E)` to `(B, L, E)`."""
        return F.silu(self.conv(window_BWE.mT).mT)

    def _select(self, u_BLE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """delta before its softplus `(B, L, E)`, b and c `(B, L, N)`."""
        sizes = [self.rank, self.state_size, self.state_size]
        r_BLR, b_BLN, c_BLN = self.select(u_BLE).split(sizes, dim=2)
        return self.delta(r_BLR), b_BLN, c_BLN

    def _scan(self, *parts: Tensor) -> Tensor:
        """h_t c_t, `(B, L, E)`, of u, delta before its softplus, b and c."""
        if self.fast is None:
            decay_BLEN, add_BLEN, c_BLN, _ = self._coefficients(*parts)
            return (_scan(decay_BLEN, add_BLEN) @ c_BLN[..., None])[..., 0]
        u_BEL, delta_BEL, b_BNL, c_BNL = (part.float().mT.contiguous() for part in parts)
        a_EN = -self.log_a_EN.float().exp()
        y_BEL: Tensor = self.fast(u_BEL, delta_BEL, a_EN, b_BNL, c_BNL, delta_softplus=True)
        return y_BEL.mT

    def _coefficients(self, *parts: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """exp(delta A) and delta u b `(B, L, E, N)`, c and u, in float32 at least."""
        dtype = torch.promote_types(parts[0].dtype, torch.float32)
        u_BLE, delta_BLE, b_BLN, c_BLN = (part.to(dtype) for part in parts)
        delta_BLE = F.softplus(delta_BLE)
        decay_BLEN = (delta_BLE[..., None] * -self.log_a_EN.exp()).exp()
        add_BLEN = (delta_BLE * u_BLE)[..., None] * b_BLN[:, :, None]
        return decay_BLEN, add_BLEN, c_BLN, u_BLE


def _first_delta(size: int) -> Tensor:
    """Biases whose softplus is spread evenly in the logarithm between the two bounds."""
    low, high = math.log(LEAST_DELTA), math.log(MOST_DELTA)
    delta_E = (low + (high - low) * torch.rand(size)).exp()
    return delta_E + torch.log(-torch.expm1(-delta_E))


def _scan(decay_BLEN: Tensor, add_BLEN: Tensor) -> Tensor:
    """h_t = decay_t h_(t-1) + add_t by pairs: the odd ones from half as many, then the even."""
    length = add_BLEN.shape[1]
    if length == 1:
        return add_BLEN
    filler = (0, 0, 0, 0, 0, length % 2)
    decay_BLEN, add_BLEN = F.pad(decay_BLEN, filler), F.pad(add_BLEN, filler)
    even_BPEN, odd_BPEN = decay_BLEN[:, ::2], decay_BLEN[:, 1::2]
    h_odd_BPEN = _scan(
        odd_BPEN * even_BPEN, torch.addcmul(add_BLEN[:, 1::2], odd_BPEN, add_BLEN[:, ::2])
    )
    before_BPEN = F.pad(h_odd_BPEN[:, :-1], (0, 0, 0, 0, 1, 0))
    h_even_BPEN = torch.addcmul(add_BLEN[:, ::2], even_BPEN, before_BPEN)
    return torch.stack([h_even_BPEN, h_odd_BPEN], dim=2).flatten(1, 2)[:, :length]
