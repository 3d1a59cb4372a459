"""LRU: a linear recurrence of complex diagonal states that start on a ring, normalised.

Orvieto et al., "Resurrecting Recurrent Neural Networks for Long Sequences", 2023
(arXiv:2303.06349), section 3 and appendix A.

    lambda = exp(-exp(nu) + i exp(theta))          nu, theta (N,)
    h_t = lambda h_(t-1) + gamma (b x_t)           gamma (N,), b (N, D) complex, h_t (N,) complex
    y_t = Re(c h_t) + skip x_t                     c (D, N) complex
    out_t = GLU(W_out gelu(y_t))                   W_out (2D, D)

lambda starts uniform on the ring between the radii r_min and r_max, with a phase below max_phase;
gamma = exp(.) starts at sqrt(1 - |lambda|^2), b and c are normal with variances 1 / D and 2 / N.

Differences from the paper: N is 40, less than in its experiments, to keep the parameters of softmax
attention; no bias in W_out; lambda does not depend on t, so that the parallel scan multiplies by
squares of lambda and carries the inputs alone; one learning rate for all. Its recurrence runs
forward only, and so does this one: there is no bidirectional form. The scan runs in float32 under
autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

SMALLEST_DRAW = 1e-6
"""Keeps the two logarithms of a uniform draw finite."""


class LRU(Mechanism):
    """A linear recurrence of N complex states; time O(L N), decoding state (N,) complex."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "categorical", "choices": [40, 64, 128, 256]},
        "r_min": {"type": "categorical", "choices": [0.0, 0.5, 0.9]},
        "r_max": {"type": "categorical", "choices": [0.99, 0.999, 1.0]},
        "max_phase": {"type": "float", "low": 0.0628, "high": 6.28, "log": True},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 40,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 6.28,
    ) -> None:
        """state_size: N complex states. r_min, r_max, max_phase: where lambda starts.

        Raises ValueError unless causal, when there is no state, or for a ring that is none.
        """
        super().__init__(config)
        if not config.causal:
            raise ValueError("LRU has no bidirectional form, build it with config.causal True")
        if state_size < 1:
            raise ValueError(f"state_size must be at least 1, found {state_size}")
        if not 0.0 <= r_min < r_max <= 1.0:
            raise ValueError(f"r_min must lie in [0, r_max), r_max <= 1, found {r_min} and {r_max}")
        if not 0.0 < max_phase <= 2.0 * math.pi:
            raise ValueError(f"max_phase must lie in (0, 2 pi], found {max_phase}")
        d_model = config.d_model
        uniform_RN = torch.rand(2, state_size).clamp(SMALLEST_DRAW, 1.0 - SMALLEST_DRAW)
        square_N = uniform_RN[0] * (r_max**2 - r_min**2) + r_min**2
        self.nu_N = nn.Parameter((-0.5 * square_N.log()).log())
        self.theta_N = nn.Parameter((max_phase * uniform_RN[1]).log())
        self.log_gamma_N = nn.Parameter(0.5 * (1.0 - square_N).log())
        self.b_DNC = nn.Parameter(torch.randn(d_model, state_size, 2) / math.sqrt(2.0 * d_model))
        self.c_NCD = nn.Parameter(torch.randn(state_size, 2, d_model) / math.sqrt(state_size))
        self.skip_D = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, 2 * d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, and the scan never brings it to a real position.
        """
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            y_BLD = self._read(_scan(self._write(x_BLD), self._factor())) + self.skip_D * x_BLD
        return self._project(y_BLD)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """h `(B, N)`, zero and complex."""
        dtype = torch.promote_types(dtype, torch.float32).to_complex()
        return torch.zeros(batch_size, len(self.nu_N), device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        with torch.autocast(x_t.device.type, enabled=False):
            x_BD = x_t.to(torch.promote_types(x_t.dtype, torch.float32))
            state_BN = self._factor() * state + self._write(x_BD)
            y_BD = self._read(state_BN) + self.skip_D * x_BD
        return self._project(y_BD), state_BN

    def _factor(self) -> Tensor:
        """lambda `(N,)`, complex."""
        return torch.complex(-self.nu_N.exp(), self.theta_N.exp()).exp()

    def _write(self, x: Tensor) -> Tensor:
        """gamma (b x), `(..., N)` complex."""
        b_DE = (self.log_gamma_N.exp()[:, None] * self.b_DNC).flatten(1)
        return torch.view_as_complex(rearrange(x @ b_DE, "... (N two) -> ... N two", two=2))

    def _read(self, state: Tensor) -> Tensor:
        """Re(c h), `(..., D)`; the imaginary part of c is kept with its sign turned."""
        return torch.view_as_real(state).flatten(-2) @ self.c_NCD.flatten(0, 1)

    def _project(self, y: Tensor) -> Tensor:
        out: Tensor = self.dropout(F.glu(self.out(F.gelu(y)), dim=-1))
        return out


def _scan(u_BLN: Tensor, factor_N: Tensor) -> Tensor:
    """h_t = factor h_(t-1) + u_t for all t: first at odd t, by a scan of half the length."""
    length = u_BLN.shape[1]
    if length == 1:
        return u_BLN
    even_BIN, odd_BJN = u_BLN[:, 0::2], u_BLN[:, 1::2]
    pairs_BJN = odd_BJN + factor_N * even_BIN[:, : length // 2]
    odd_BIN = F.pad(_scan(pairs_BJN, factor_N * factor_N), (0, 0, 1, length % 2))
    even_BIN = even_BIN + factor_N * odd_BIN[:, : even_BIN.shape[1]]
    return torch.stack([even_BIN, odd_BIN[:, 1:]], dim=2).flatten(1, 2)[:, :length]
