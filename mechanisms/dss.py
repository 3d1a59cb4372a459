"""DSS: each channel filters the sequence with a diagonal state space whose kernel is softmaxed.

Gupta et al., "Diagonal State Spaces are as Effective as Structured State Spaces", 2022
(arXiv:2203.14343), proposition 1: DSS-softmax, which its Long Range Arena results are of.

    kernel_l = Re sum_n (w_n / a_n) exp(step a_n l) / sum_r exp(step a_n r)     r over 0..R - 1
    y_t = sum_s kernel_(t - s) x_s + skip x_t      a (N,) complex, step (D,), w (D, N) complex
    out_t = W_out gelu(y_t) + b_out                W_out (D, D)

The kernel is applied by a zero-padded FFT. Without causality a second w, of the same shape, gives
a second kernel over s > t, at lag s - t - 1. a starts at -1/2 plus the N imaginary eigenvalues
above zero of the skew part of the 2N x 2N HiPPO-LegS; step is log-uniform and, as in the published
code, one for the real and one for the imaginary part.

Differences from the paper: the softmax runs over R = max_seq_len lags, where the paper takes the
length of the input, so that nothing of the future reaches back; N is 56 and not 64, which without
causality keeps the parameters of softmax attention; the Vandermonde product is factored at lag
i I + j into a batched matrix product, so that O(D N sqrt(L)) and not O(D N L) numbers are kept;
one learning rate for all. Kernel and FFT run in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

EPSILON = 1e-7
"""Keeps 1 / z bounded, as conj(z) / (|z|^2 + epsilon), where a softmax sums to nearly zero."""


class DSS(Mechanism):
    """A softmaxed diagonal state space per channel; time O(L log L), state (D, N) complex."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "categorical", "choices": [16, 32, 56, 64]},
        "step_min": {"type": "float", "low": 1e-4, "high": 1e-3, "log": True},
        "step_max": {"type": "float", "low": 1e-2, "high": 1e-1, "log": True},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 56,
        step_min: float = 0.001,
        step_max: float = 0.1,
    ) -> None:
        """state_size: N complex states per channel. step_min, step_max: bounds of the first steps.

        Raises ValueError when there is no state, or for steps that are none.
        """
        super().__init__(config)
        if state_size < 1:
            raise ValueError(f"state_size must be at least 1, found {state_size}")
        if not 0.0 < step_min <= step_max:
            raise ValueError(f"step_min must lie in (0, step_max], found {step_min} and {step_max}")
        d_model, directions = config.d_model, 1 if config.causal else 2
        log_step_D = torch.empty(d_model).uniform_(math.log(step_min), math.log(step_max))
        self.a_real_N = nn.Parameter(torch.full((state_size,), -0.5))
        self.a_imaginary_N = nn.Parameter(_frequencies(state_size))
        self.log_step_DC = nn.Parameter(log_step_D[:, None].repeat(1, 2))
        self.w_RDNC = nn.Parameter(torch.randn(directions, d_model, state_size, 2))
        self.skip_D = nn.Parameter(torch.randn(d_model))
        self.out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if key_padding_mask is not None:
            # Also when causal: an FFT spreads the rounding of large values over all positions.
            x = x.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            exponent_DN, first_DN, w_RDN = self._softmax()
            kernel_RDL = _kernels(exponent_DN, first_DN, w_RDN, x.shape[1])
            y_BLD = _convolve(x_BLD, kernel_RDL) + self.skip_D * x_BLD
        return self._project(y_BLD)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """The states `(B, D, N)`, zero and complex; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        shape = (batch_size, self.config.d_model, len(self.a_real_N))
        dtype = torch.promote_types(dtype, torch.float32).to_complex()
        return torch.zeros(shape, device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        with torch.autocast(x_t.device.type, enabled=False):
            x_BD = x_t.to(torch.promote_types(x_t.dtype, torch.float32))
            exponent_DN, first_DN, w_RDN = self._softmax()
            state_BDN = exponent_DN.exp() * state + first_DN.exp() * x_BD[:, :, None]
            y_BD = (w_RDN[0] * state_BDN).sum(-1).real + self.skip_D * x_BD
        return self._project(y_BD), state_BDN

    def _project(self, y: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.out(F.gelu(y)))
        return out

    def _softmax(self) -> tuple[Tensor, Tensor, Tensor]:
        """e and f `(D, N)` and v `(1 or 2, D, N)`, complex: kernel_l = Re sum_n v exp(e l + f).

        As in any softmax the largest exponent is taken off: f is not zero where exp(e) grows.
        """
        longest = self.config.max_seq_len
        a_N = torch.complex(self.a_real_N, self.a_imaginary_N)
        step_real_D1, step_imaginary_D1 = self.log_step_DC.exp()[:, :, None].unbind(1)
        exponent_DN = torch.complex(
            step_real_D1 * self.a_real_N, step_imaginary_D1 * self.a_imaginary_N
        )
        grows_N = self.a_real_N > 0.0
        first_DN = torch.where(grows_N, -exponent_DN * (longest - 1), 0.0)
        decaying_DN = torch.where(grows_N, -exponent_DN, exponent_DN)
        # The geometric sum over r is (exp(longest decaying) - 1) / (exp(decaying) - 1).
        below_DN = ((decaying_DN * longest).exp() - 1.0) * a_N
        inverse_DN = below_DN.conj() / (below_DN.abs().square() + EPSILON)
        v_RDN: Tensor = torch.view_as_complex(self.w_RDNC) * (decaying_DN.exp() - 1.0) * inverse_DN
        return exponent_DN, first_DN, v_RDN


def _frequencies(state_size: int) -> Tensor:
    """The eigenvalues i f, f > 0, of the skew part of HiPPO-LegS: f `(N,)`, falling."""
    root_N = (2.0 * torch.arange(2 * state_size, dtype=torch.float64) + 1.0).sqrt()
    below_NN = torch.outer(root_N, root_N).tril(-1) / 2.0
    frequency_N: Tensor = torch.linalg.eigvalsh(-1j * (below_NN - below_NN.T))[state_size:].flip(0)
    return frequency_N.to(torch.get_default_dtype())


def _kernels(exponent_DN: Tensor, first_DN: Tensor, v_RDN: Tensor, length: int) -> Tensor:
    """Re sum_n v exp(exponent l + first) for the lags l below `length`, `(1 or 2, D, length)`."""
    width = 1 << (math.isqrt(length - 1).bit_length())
    lag_J = torch.arange(width, device=v_RDN.device)
    start_I1 = torch.arange(0, length, width, device=v_RDN.device)[:, None]
    fine_DNJ = (exponent_DN[:, :, None] * lag_J).exp()
    coarse_DIN = (exponent_DN[:, None, :] * start_I1 + first_DN[:, None, :]).exp()
    coarse_RDIN = v_RDN[:, :, None, :] * coarse_DIN
    left_RDIN = torch.cat([coarse_RDIN.real, -coarse_RDIN.imag], dim=3)
    right_DNJ = torch.cat([fine_DNJ.real, fine_DNJ.imag], dim=1)
    kernel_RDL: Tensor = (left_RDIN @ right_DNJ).flatten(2)[:, :, :length]
    return kernel_RDL


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
