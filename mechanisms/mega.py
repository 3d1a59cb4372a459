"""Mega: a damped moving average of several dimensions feeds gated attention within chunks.

Ma et al., "Mega: Moving Average Equipped Gated Attention", 2022 (arXiv:2209.10655), section 3:
Mega-chunk, single-head attention with the softmax or the Laplace function.

    m_t = alpha beta x_t + (1 - alpha delta) m_(t-1)       m, alpha, beta, delta, eta (D, N)
    x'_t = silu(sum_n eta m_t / sqrt(N) + omega x_t)       omega (D,)
    u, r, g, z = W_mix x'                          u, g (D,), r (E,), z (Z,), W_mix (2D + E + Z, D)
    q, k = gamma silu(z) + mu                      gamma, mu (2, Z)
    v = silu(W_v x)                                W_v (E, D)
    o_t = sum_s f(q_t . k_s / scale + bias_(s - t)) v_s    over the s of the chunk of t
    out_t = sigmoid(u) (silu(g + W_h (silu(r) o)) - x)     W_h (D, E)

f is the softmax with scale sqrt(Z), or Phi((. - sqrt(1/2)) / sqrt(1 / 4 pi)) ("laplace") with the
number of positions seen as scale. alpha and delta are sigmoids. Without causality a second moving
average, with parameters of its own, runs over s > t and is added to the first.

Differences from the paper: out is what the host adds to its residual stream, of which x is the
normalised form, where the paper has sigmoid(u) (. - x) + x of the stream itself; N is 8, Z 12 and
E = D / 2, where its Long Range Arena runs have 16, 64 and 2 D, to keep the parameters of softmax
attention; no biases; a short last chunk is attended to as it is; dropout on the output alone. The
moving averages are kernels of 1 - alpha delta, in float32 under autocast, by a zero-padded FFT.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig

ATTENTIONS = ("softmax", "laplace")
STD = 0.02
"""Of the first projections, as published."""

State = tuple[Tensor, Tensor, Tensor, int]


class Mega(Mechanism):
    """Moving averages and attention in chunks; time O(L chunk), state (D, N) and one chunk."""

    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "attention": {"type": "categorical", "choices": ["softmax", "laplace"]},
        "chunk": {"type": "categorical", "choices": [64, 128, 256]},
        "ema_size": {"type": "categorical", "choices": [4, 8, 16]},
        "z_size": {"type": "categorical", "choices": [12, 32, 64]},
        "expansion": {"type": "categorical", "choices": [0.5, 1.0, 2.0]},
    }

    def __init__(
        self,
        config: MechanismConfig,
        attention: str = "softmax",
        chunk: int = 128,
        ema_size: int = 8,
        z_size: int = 12,
        expansion: float = 0.5,
    ) -> None:
        """chunk: positions that attend to each other. ema_size: N. z_size: Z. expansion: E / D.

        Raises ValueError for an unknown attention, or when one of the sizes is none.
        """
        super().__init__(config)
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, found {attention}")
        for name, size in (("chunk", chunk), ("ema_size", ema_size), ("z_size", z_size)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, found {size}")
        value_size = int(expansion * config.d_model)
        if value_size < 1:
            raise ValueError(f"expansion must give at least one value, found {expansion}")
        d_model, directions = config.d_model, 1 if config.causal else 2
        self.attention, self.chunk = attention, min(chunk, config.max_seq_len)
        self.sizes = (d_model, value_size, d_model, z_size)
        self.alpha_RDN = nn.Parameter(0.2 * torch.randn(directions, d_model, ema_size))
        self.delta_RDN = nn.Parameter(0.2 * torch.randn(directions, d_model, ema_size))
        sign_N = 1.0 - 2.0 * (torch.arange(ema_size) % 2)
        self.beta_RDN = nn.Parameter(sign_N + STD * torch.randn(directions, d_model, ema_size))
        self.eta_RDN = nn.Parameter(torch.randn(directions, d_model, ema_size))
        self.omega_D = nn.Parameter(torch.randn(d_model))
        self.value = _linear(d_model, value_size)
        self.mix = _linear(d_model, sum(self.sizes))
        self.hidden = _linear(value_size, d_model)
        self.gamma_QZ = nn.Parameter(STD * torch.randn(2, z_size))
        self.mu_QZ = nn.Parameter(torch.zeros(2, z_size))
        num_offsets = self.chunk if config.causal else 2 * self.chunk - 1
        self.bias_O = nn.Parameter(STD * torch.randn(num_offsets))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding."""
        batch_size, length, _ = x.shape
        real_BL = x.new_ones(batch_size, length, dtype=torch.bool)
        if key_padding_mask is not None:
            # Also when causal: an FFT spreads the rounding of large values over all positions.
            real_BL = ~key_padding_mask
            x = x.masked_fill(key_padding_mask[:, :, None], 0.0)
        with torch.autocast(x.device.type, enabled=False):
            x_BLD = x.to(torch.promote_types(x.dtype, torch.float32))
            average_BLD = _convolve(x_BLD, self._kernels(length))
            mixed_BLD = F.silu(average_BLD + self.omega_D * x_BLD)
        u_BLD, r_BLE, g_BLD, q_BLZ, k_BLZ = self._mix(mixed_BLD)
        q_BCIZ, k_BCJZ, v_BCJE = (
            self._chunks(part) for part in (q_BLZ, k_BLZ, F.silu(self.value(x)))
        )
        bias_IJ, visible_BCIJ = self._visible(self._chunks(real_BL[:, :, None]))
        weights_BCIJ = self._weigh(q_BCIZ @ k_BCJZ.transpose(2, 3), bias_IJ, visible_BCIJ)
        o_BLE = (weights_BCIJ.to(v_BCJE.dtype) @ v_BCJE).flatten(1, 2)[:, :length]
        return self._gate(x, u_BLD, r_BLE, g_BLD, o_BLE)

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> State:
        """m `(B, D, N)`, keys and values of the chunk, and the position.

        NotImplementedError unless causal.
        """
        if not self.config.causal:
            raise NotImplementedError(
                "decoding needs a causal mechanism, found config.causal False"
            )
        dtype = torch.promote_types(dtype, torch.float32)
        d_model, value_size, _, z_size = self.sizes
        m_BDN, k_BJZ, v_BJE = (
            torch.zeros(batch_size, *shape, device=device, dtype=dtype)
            for shape in (
                (d_model, self.alpha_RDN.shape[2]),
                (self.chunk, z_size),
                (self.chunk, value_size),
            )
        )
        return m_BDN, k_BJZ, v_BJE, 0

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        m_BDN, k_BJZ, v_BJE, position = state
        with torch.autocast(x_t.device.type, enabled=False):
            x_BD = x_t.to(m_BDN.dtype)
            alpha_RDN, keep_RDN, eta_RDN = self._coefficients()
            write_DN = alpha_RDN[0] * self.beta_RDN[0]
            m_BDN = write_DN * x_BD[:, :, None] + keep_RDN[0] * m_BDN
            mixed_BD = F.silu((eta_RDN[0] * m_BDN).sum(-1) + self.omega_D * x_BD)
        u_BD, r_BE, g_BD, q_BZ, k_BZ = self._mix(mixed_BD)
        slot = position % self.chunk
        k_BJZ, v_BJE = k_BJZ.clone(), v_BJE.clone()
        k_BJZ[:, slot], v_BJE[:, slot] = k_BZ, F.silu(self.value(x_t))
        scores_B1J = q_BZ.to(k_BJZ.dtype)[:, None] @ k_BJZ[:, : slot + 1].transpose(1, 2)
        bias_J = self.bias_O[: slot + 1].flip(0)
        weights_B1J = self._weigh(scores_B1J, bias_J, torch.ones_like(bias_J, dtype=torch.bool))
        o_BE = (weights_B1J @ v_BJE[:, : slot + 1])[:, 0]
        out_BD = self._gate(x_t, u_BD, r_BE, g_BD, o_BE)
        return out_BD, (m_BDN, k_BJZ, v_BJE, position + 1)

    def _coefficients(self) -> tuple[Tensor, Tensor, Tensor]:
        """alpha, 1 - alpha delta and eta / sqrt(N), each `(1 or 2, D, N)`."""
        alpha_RDN = self.alpha_RDN.sigmoid()
        eta_RDN = self.eta_RDN / math.sqrt(self.eta_RDN.shape[2])
        return alpha_RDN, 1.0 - alpha_RDN * self.delta_RDN.sigmoid(), eta_RDN

    def _kernels(self, length: int) -> Tensor:
        """sum_n alpha beta eta keep^l for the lags l below `length`, `(1 or 2, D, length)`.

        Factored at l = i I + j into a product of matrices, which keeps O(D N sqrt(L)) numbers.
        """
        alpha_RDN, keep_RDN, eta_RDN = self._coefficients()
        width = 1 << (math.isqrt(length - 1).bit_length())
        lag_J = torch.arange(width, device=keep_RDN.device)
        start_I1 = torch.arange(0, length, width, device=keep_RDN.device)[:, None]
        fine_RDNJ = keep_RDN[..., None].pow(lag_J)
        coarse_RDIN = keep_RDN[:, :, None].pow(start_I1)
        write_RDIN = (alpha_RDN * self.beta_RDN * eta_RDN)[:, :, None]
        return ((write_RDIN * coarse_RDIN) @ fine_RDNJ).flatten(2)[:, :, :length]

    def _mix(self, mixed: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """sigmoid(u), silu(r), g, q and k."""
        u, r, g, z = self.mix(mixed).split(self.sizes, dim=-1)
        q, k = (F.silu(z)[..., None, :] * self.gamma_QZ + self.mu_QZ).unbind(-2)
        return u.sigmoid(), F.silu(r), g, q, k

    def _gate(self, x: Tensor, u: Tensor, r: Tensor, g: Tensor, o: Tensor) -> Tensor:
        hidden = F.silu(g + self.hidden(r * o))
        out: Tensor = self.dropout(u * (hidden - x.to(hidden.dtype)))
        return out

    def _chunks(self, part_BLE: Tensor) -> Tensor:
        """`(B, C, I, E)`, the last chunk filled with zeros; one chunk of L if it fits."""
        length = part_BLE.shape[1]
        if length <= self.chunk:
            return part_BLE[:, None]
        padded_BLE = F.pad(part_BLE, (0, 0, 0, -length % self.chunk))
        return padded_BLE.view(len(padded_BLE), -1, self.chunk, padded_BLE.shape[2])

    def _visible(self, real_BCJ1: Tensor) -> tuple[Tensor, Tensor]:
        """The bias `(I, J)`, and which keys each query sees, True = takes part.

        Without causality each position sees at least itself, padding too: a softmax over nothing
        is not a number.
        """
        i_I = torch.arange(real_BCJ1.shape[2], device=real_BCJ1.device)
        offset_IJ = i_I - i_I[:, None]
        if self.config.causal:  # padding stands on the right: no real position sees it
            return self.bias_O[(-offset_IJ).clamp(min=0)], offset_IJ <= 0
        return self.bias_O[offset_IJ + self.chunk - 1], real_BCJ1.mT | (offset_IJ == 0)

    def _weigh(self, scores: Tensor, bias: Tensor, visible: Tensor) -> Tensor:
        """f of the scores, in float32 at least; zero where a key is not visible."""
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if self.attention == "softmax":
            logits = scores / math.sqrt(self.sizes[3]) + bias
            return logits.masked_fill(~visible, -math.inf).softmax(-1)
        logits = scores / visible.sum(-1, keepdim=True) + bias
        weights = 0.5 * (1.0 + torch.erf((logits - math.sqrt(0.5)) * math.sqrt(2.0 * math.pi)))
        return weights.masked_fill(~visible, 0.0)


def _linear(in_features: int, out_features: int) -> nn.Linear:
    linear = nn.Linear(in_features, out_features, bias=False)
    nn.init.normal_(linear.weight, std=STD)
    return linear


def _convolve(x_BLD: Tensor, kernel_RDL: Tensor) -> Tensor:
    """The first kernel over s <= t, at lag t - s, and a second over s > t, at lag s - t."""
    length = x_BLD.shape[1]
    size = _fast_size(2 * length - 1)
    kernel_DM = torch.fft.rfft(kernel_RDL[0], n=size)
    if len(kernel_RDL) == 2:  # the conjugate is the spectrum of the reversed kernel
        ahead_DL = F.pad(kernel_RDL[1, :, 1:], (1, 0))
        kernel_DM = kernel_DM + torch.fft.rfft(ahead_DL, n=size).conj()
    x_BMD = torch.fft.rfft(x_BLD, n=size, dim=1)
    y_BLD: Tensor = torch.fft.irfft(x_BMD * kernel_DM.T, n=size, dim=1)[:, :length]
    return y_BLD


def _fast_size(least: int) -> int:
    """The smallest 2^n or 3 * 2^n that is not below `least`: sizes an FFT is fast at."""
    power = 1 << (least - 1).bit_length()
    return power * 3 // 4 if power >= 4 and power * 3 // 4 >= least else power
