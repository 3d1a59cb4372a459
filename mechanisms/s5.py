"""S5: one diagonal state space with many inputs and outputs, run by a parallel scan.

Smith et al., "Simplified State Space Layers for Sequence Modeling", 2022 (arXiv:2208.04933),
sections 3 and 4, initialised by blocks of HiPPO-N and discretised by a zero-order hold.

    h_t = exp(step a) h_(t-1) + b' x_t             a, step (P/2,), h_t (P/2,) complex
    b' = b (exp(step a) - 1) / a                   b (P/2, D) complex
    y_t = 2 Re(c h_t) + skip x_t                   c (D, P/2) complex
    out_t = gelu(y_t) sigmoid(W_gate gelu(y_t) + b_gate)                       W_gate (D, D)

P/2 states stand for P, the others being their conjugates. Without causality a second c, of the
same shape, reads a state that runs backwards and has seen all s >= t. a starts at the eigenvalues
of J copies of the normal part of HiPPO-LegS, V its eigenvectors, b at V^* b_0 and c at c_0 V with
random real b_0 and complex c_0; step is log-uniform.

Differences from the paper: P is 64 where its Long Range Arena runs have 16 to 384, to keep the
parameters of softmax attention; Re(a) is held below -1e-4 everywhere, as in its image
experiments; a does not depend on t, so that the scan multiplies by squares of exp(step a) and
carries the inputs alone; one learning rate for all. The scan runs in float32 under autocast.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

LARGEST_REAL_PART = -1e-4
TRUNCATION = 0.8796
"""Standard deviation of a standard normal that is cut off at -2 and 2."""


class S5(Mechanism):
    """One state space for all channels; time O(L P), decoding state (P/2,) complex."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "state_size": {"type": "categorical", "choices": [16, 64, 128, 192, 256, 384]},
        "num_blocks": {"type": "categorical", "choices": [1, 2, 4, 8]},
        "step_min": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True},
        "step_max": {"type": "float", "low": 1e-2, "high": 1e-1, "log": True},
    }

    def __init__(
        self,
        config: MechanismConfig,
        state_size: int = 64,
        num_blocks: int = 8,
        step_min: float = 0.001,
        step_max: float = 0.1,
    ) -> None:
        """state_size: P, real states. num_blocks: J, HiPPO matrices on the diagonal at the start.

        Raises ValueError when the blocks are not of one even size, or for steps that are none.
        """
        super().__init__(config)
        if num_blocks < 1 or state_size < 2 or state_size % (2 * num_blocks):
            raise ValueError(
                "state_size must be a multiple of 2 num_blocks, "
                f"found {state_size} and {num_blocks}"
            )
        if not 0.0 < step_min <= step_max:
            raise ValueError(f"step_min must lie in (0, step_max], found {step_min} and {step_max}")
        d_model, directions = config.d_model, 1 if config.causal else 2
        a_P, v_NP = _hippo(state_size // num_blocks, num_blocks)
        b_ND = _truncated_normal((state_size, d_model), fan_in=state_size)
        c_RDNC = _truncated_normal(
            (directions, d_model, state_size, 2), fan_in=state_size * d_model
        )
        self.a_real_P = nn.Parameter(a_P.real.to(torch.get_default_dtype()))
        self.a_imaginary_P = nn.Parameter(a_P.imag.to(torch.get_default_dtype()))
        self.log_step_P = nn.Parameter(torch.empty(state_size // 2))
        self.b_PDC = _parameter(v_NP.mH @ b_ND.to(v_NP.dtype))
        self.c_RDPC = _parameter(torch.view_as_complex(c_RDNC) @ v_NP)
        self.skip_D = nn.Parameter(torch.randn(d_model))
        self.gate = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.uniform_(self.log_step_P, math.log(step_min), math.log(step_max))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        if key_padding_mask is not None and not self.config.causal:
            # Padding stands on the right: the scan that looks back never brings it anywhere.
            x = x.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            factor_P, b_DE = self._discretise()
            u_BLP = _complex(x_BLD @ b_DE)
            states = [_scan(u_BLP, factor_P)]
            if not self.config.causal:
                states.append(_scan(u_BLP.flip(1), factor_P).flip(1))
            y_BLD = self._read(torch.cat(states, dim=-1)) + self.skip_D * x_BLD
        return self._project(y_BLD)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """h `(B, P/2)`, zero and complex; NotImplementedError unless causal."""
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        dtype = torch.promote_types(dtype, torch.float32).to_complex()
        return torch.zeros(batch_size, len(self.a_real_P), device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        with torch.autocast(x_t.device.type, enabled=False):
            x_BD = x_t.to(torch.promote_types(x_t.dtype, torch.float32))
            factor_P, b_DE = self._discretise()
            state_BP = factor_P * state + _complex(x_BD @ b_DE)
            y_BD = self._read(state_BP) + self.skip_D * x_BD
        return self._project(y_BD), state_BP

    def _discretise(self) -> tuple[Tensor, Tensor]:
        """exp(step a) `(P/2,)`, complex, and b' `(D, P)`, real and imaginary parts in turn."""
        a_P = torch.complex(self.a_real_P.clamp(max=LARGEST_REAL_PART), self.a_imaginary_P)
        factor_P = (self.log_step_P.exp() * a_P).exp()
        b_PD = ((factor_P - 1.0) / a_P)[:, None] * torch.view_as_complex(self.b_PDC)
        return factor_P, torch.view_as_real(b_PD.T).flatten(1)

    def _read(self, state: Tensor) -> Tensor:
        """2 Re(c h); the last dimension of the state holds both directions if there are two."""
        c_RPCD = torch.stack([self.c_RDPC[..., 0], -self.c_RDPC[..., 1]], dim=-1).movedim(1, -1)
        return 2.0 * torch.view_as_real(state).flatten(-2) @ c_RPCD.flatten(0, 2)

    def _project(self, y: Tensor) -> Tensor:
        activated = F.gelu(y)
        gate = self.gate(activated)
        out: Tensor = self.dropout((activated * gate.sigmoid()).to(gate.dtype))
        return out


def _hippo(size: int, num_blocks: int) -> tuple[Tensor, Tensor]:
    """a `(P/2,)` and V `(P, P/2)`: one of each conjugate pair of `num_blocks` equal blocks."""
    root_N = (2.0 * torch.arange(size, dtype=torch.float64) + 1.0).sqrt()
    below_NN = torch.outer(root_N, root_N).tril(-1) / 2.0
    skew_NN = below_NN.T - below_NN  # HiPPO-LegS + p p^T + 1/2, p = sqrt(n + 1/2)
    frequency_N, v_NN = torch.linalg.eigh(-1j * skew_NN)
    a_N = torch.complex(torch.full_like(frequency_N, -0.5), frequency_N)[: size // 2]
    v_NP: Tensor = torch.block_diag(*[v_NN[:, : size // 2]] * num_blocks)  # type: ignore[no-untyped-call]
    return a_N.repeat(num_blocks), v_NP


def _truncated_normal(shape: tuple[int, ...], fan_in: int) -> Tensor:
    """Variance 1 / fan_in, cut off at two standard deviations of what is drawn from."""
    std = 1.0 / (TRUNCATION * math.sqrt(fan_in))
    draw = torch.empty(shape, dtype=torch.float64)
    return nn.init.trunc_normal_(draw, std=std, a=-2.0 * std, b=2.0 * std)


def _parameter(z: Tensor) -> nn.Parameter:
    """A complex tensor as a real parameter, of one more dimension of two."""
    return nn.Parameter(torch.view_as_real(z.resolve_conj()).to(torch.get_default_dtype()))


def _complex(pairs: Tensor) -> Tensor:
    """`(..., 2 P)`, real and imaginary parts in turn, to `(..., P)` complex."""
    return torch.view_as_complex(rearrange(pairs, "... (P two) -> ... P two", two=2))


def _scan(u_BLP: Tensor, factor_P: Tensor) -> Tensor:
    """h_t = factor h_(t-1) + u_t for all t: first at odd t, by a scan of half the length."""
    length = u_BLP.shape[1]
    if length == 1:
        return u_BLP
    even_BIP, odd_BJP = u_BLP[:, 0::2], u_BLP[:, 1::2]
    pairs_BJP = odd_BJP + factor_P * even_BIP[:, : length // 2]
    odd_BIP = F.pad(_scan(pairs_BJP, factor_P * factor_P), (0, 0, 1, length % 2))
    even_BIP = even_BIP + factor_P * odd_BIP[:, : even_BIP.shape[1]]
    return torch.stack([even_BIP, odd_BIP[:, 1:]], dim=2).flatten(1, 2)[:, :length]
