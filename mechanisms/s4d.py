"""S4D: each channel filters the sequence with a diagonal state space of complex states.

Gu et al., "On the Parameterization and Initialization of Diagonal State Space Models", 2022
(arXiv:2206.11893), sections 3 and 4: zero-order hold, kernel by a Vandermonde product, S4D-LegS,
S4D-Inv and S4D-Lin.

    h_t = exp(step a) h_(t-1) + x_t                a (N/2,), step (D,), h_t (D, N/2) complex
    y_t = 2 Re sum_n c' h_t + skip x_t             c' = c (exp(step a) - 1) / a, c (D, N/2)
    out_t = GLU(W_out gelu(y_t))                   W_out (2D, D)

All of h is one kernel, 2 Re sum_n c' exp(step a l) for the lag l, applied by a zero-padded FFT.
Without causality a second c, of the same shape, reads a state that runs backwards and has seen
all s > t. Re(a) = -exp(.) starts at -1/2, Im(a) at the imaginary eigenvalues of the normal part of
HiPPO-LegS ("legs"), N / pi (N / (2n + 1) - 1) ("inv") or pi n ("lin"); step log-uniform.

Differences from the paper: a is shared by all channels (`n_ssm: 1`, as in the published
configurations for the Long Range Arena), B = 1 stays fixed, no bias in W_out; the Vandermonde
product is factored at lag = i I + j into a batched matrix product, so that O(D N sqrt(L)) and not
O(D N L) numbers are kept; one learning rate for all. Kernel and FFT run in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

INITS = ("legs", "inv", "lin")


class S4D(Mechanism):
    """A diagonal state space per channel; time O(L log L), decoding state (D, N/2) complex."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "categorical", "choices": [4, 16, 64]},
        "init": {"type": "categorical", "choices": ["legs", "inv", "lin"]},
        "step_min": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "step_max": {"type": "float", "low": 1e-2, "high": 1e-1, "log": True},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 64,
        init: str = "legs",
        step_min: float = 0.001,
        step_max: float = 0.1,
    ) -> None:
        """state_size: N real states, kept as N/2 complex ones. step_min, step_max: first steps.

        Raises ValueError for an odd or no state, an unknown init, or steps that are none.
        """
        super().__init__(config)
        if state_size < 2 or state_size % 2:
            raise ValueError(f"state_size must be even and at least 2, found {state_size}")
        if init not in INITS:
            raise ValueError(f"init must be one of {', '.join(INITS)}, found {init}")
        if not 0.0 < step_min <= step_max:
            raise ValueError(f"step_min must lie in (0, step_max], found {step_min} and {step_max}")
        d_model, pairs = config.d_model, state_size // 2
        directions = 1 if config.causal else 2
        self.log_decay_N = nn.Parameter(torch.full((pairs,), math.log(0.5)))
        self.frequency_N = nn.Parameter(_frequencies(init, state_size))
        self.log_step_D = nn.Parameter(torch.empty(d_model))
        self.c_RDNC = nn.Parameter(torch.randn(directions, d_model, pairs, 2) / math.sqrt(2.0))
        self.skip_D = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, 2 * d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.uniform_(self.log_step_D, math.log(step_min), math.log(step_max))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if key_padding_mask is not None:
            # Also when causal: an FFT spreads the rounding of large values over all positions.
            x = x.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            exponent_DN, c_RDN = self._discretise()
            y_BLD = _convolve(x_BLD, _kernels(exponent_DN, c_RDN, x.shape[1]))
            y_BLD = y_BLD + self.skip_D * x_BLD
        return self._project(y_BLD)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """h `(B, D, N/2)`, zero and complex; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        shape = (batch_size, self.config.d_model, len(self.frequency_N))
        dtype = torch.promote_types(dtype, torch.float32).to_complex()
        return torch.zeros(shape, device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        with torch.autocast(x_t.device.type, enabled=False):
            x_BD = x_t.to(torch.promote_types(x_t.dtype, torch.float32))
            exponent_DN, c_RDN = self._discretise()
            state_BDN = exponent_DN.exp() * state + x_BD[:, :, None]
            y_BD = 2.0 * (c_RDN[0] * state_BDN).sum(-1).real + self.skip_D * x_BD
        return self._project(y_BD), state_BDN

    def _project(self, y: Tensor) -> Tensor:
        out: Tensor = self.dropout(F.glu(self.out(F.gelu(y)), dim=-1))
        return out

    def _discretise(self) -> tuple[Tensor, Tensor]:
        """step a `(D, N/2)` and c' `(1 or 2, D, N/2)`, complex."""
        a_N = torch.complex(-self.log_decay_N.exp(), self.frequency_N)
        exponent_DN = self.log_step_D.exp()[:, None] * a_N
        c_RDN = torch.view_as_complex(self.c_RDNC) * (exponent_DN.exp() - 1.0) / a_N
        return exponent_DN, c_RDN


def _frequencies(init: str, state_size: int) -> Tensor:
    """The imaginary parts `(N/2,)` that a starts from."""
    n_N = torch.arange(state_size // 2, dtype=torch.float64)
    if init == "lin":
        frequency_N = math.pi * n_N
    elif init == "inv":
        frequency_N = state_size / math.pi * (state_size / (2.0 * n_N + 1.0) - 1.0)
    else:
        root_N = (2.0 * torch.arange(state_size, dtype=torch.float64) + 1.0).sqrt()
        below_NN = torch.outer(root_N, root_N).tril(-1) / 2.0
        skew_NN = below_NN.T - below_NN  # HiPPO-LegS + p p^T + 1/2, p = sqrt(n + 1/2)
        frequency_N = torch.linalg.eigvalsh(-1j * skew_NN)[state_size // 2 :]
    return frequency_N.to(torch.get_default_dtype())


def _kernels(exponent_DN: Tensor, c_RDN: Tensor, length: int) -> Tensor:
    """2 Re sum_n c exp(exponent l) for the lags l below `length`, `(1 or 2, D, length)`."""
    width = 1 << (math.isqrt(length - 1).bit_length())
    lag_J = torch.arange(width, device=c_RDN.device)
    start_I = torch.arange(0, length, width, device=c_RDN.device)
    fine_DNJ = (exponent_DN[:, :, None] * lag_J).exp()
    coarse_RDIN = c_RDN[:, :, None, :] * (exponent_DN[:, None, :] * start_I[:, None]).exp()
    left_RDIN = torch.cat([coarse_RDIN.real, -coarse_RDIN.imag], dim=3)
    right_DNJ = torch.cat([fine_DNJ.real, fine_DNJ.imag], dim=1)
    return 2.0 * (left_RDIN @ right_DNJ).flatten(2)[:, :, :length]


def _convolve(x_BLD: Tensor, kernel_RDL: Tensor) -> Tensor:
    """The first kernel over s <= t, at lag t - s, and a second over s > t, at lag s - t - 1."""
    length = x_BLD.shape[1]
    size = _fast_size(2 * length - 1)
    kernel_DM = torch.fft.rfft(kernel_RDL[0], n=size)
    if len(kernel_RDL) == 2:  # the conjugate is the spectrum of the reversed kernel
        ahead_DL = F.pad(kernel_RDL[1, :, :-1], (1, 0))
        kernel_DM = kernel_DM + torch.fft.rfft(ahead_DL, n=size).conj()
    x_BMD = torch.fft.rfft(x_BLD, n=size, dim=1)
    y_BLD: Tensor = torch.fft.irfft(x_BMD * kernel_DM.T, n=size, dim=1)[:, :length]
    return y_BLD


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
