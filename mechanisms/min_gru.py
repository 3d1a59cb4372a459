"""MinGRU: a GRU whose gate and candidate do not look at the state, so that a scan computes it.

Feng et al., "Were RNNs All We Needed?", 2024 (arXiv:2410.01201), section 3.1 and appendix B.

    z_t, c_t = W_in x_t                            W_in (2E, D), E = expand D
    h_t = (1 - sigmoid(z_t)) * h_(t-1) + sigmoid(z_t) * g(c_t)     (E,), h before the first is 0
          g(c) = c + 1/2 where c >= 0, sigmoid(c) elsewhere
    out_t = W_out h_t                              W_out (D, E)

Differences from the paper: no biases; expand is 1.5, as in the language network of
lucidrains/minGRU-pytorch, where the paper compares 1 to 4, of which 2 has half as many parameters
again as softmax attention; the short convolution that the paper puts beside the layer in some
experiments is left out. The scan is an odd-even one over pairs of factor and term, in float32
under autocast, and not one over logarithms: all terms are positive, so it loses nothing.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class MinGRU(Mechanism):
    """A GRU without hidden-to-hidden weights; time O(L), decoding state (E,)."""

    supports_bidirectional: ClassVar[bool] = False
    claimed_cost: ClassVar[float | None] = 1.0
    search_space: ClassVar[dict[str, dict[str, Any]]] = {
        "expand": {"type": "categorical", "choices": [1.0, 1.5, 2.0, 3.0, 4.0]},
    }

    def __init__(self, config: MechanismConfig, expand: float = 1.5) -> None:
        """expand: E / D, E rounded down. Raises ValueError below 1, or unless `config.causal`."""
        super().__init__(config)
        if not config.causal:
            raise ValueError("minGRU has no bidirectional form, build it with config.causal True")
        if expand < 1.0:
            raise ValueError(f"expand must be at least 1, found {expand}")
        self.inner = int(expand * config.d_model)
        self.into = nn.Linear(config.d_model, 2 * self.inner, bias=False)
        self.out = nn.Linear(self.inner, config.d_model, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        """`(B, L, D)` to `(B, L, D)`; key_padding_mask `(B, L)` bool, True = padding.

        Padding stands on the right, so causality hides it from every real position.
        """
        zc_BLE = self.into(x)
        with torch.autocast(x.device.type, enabled=False):
            h_BLE = _scan(*_gates(zc_BLE))
        out_BLD: Tensor = self.dropout(self.out(h_BLE))
        return out_BLD

    def init_state(self, batch_size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """h `(B, E)`, zero."""
        dtype = torch.promote_types(dtype, torch.float32)
        return torch.zeros(batch_size, self.inner, device=device, dtype=dtype)

    def step(self, x_t: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """`x_t` `(B, D)` and the state to the output `(B, D)` and the next state."""
        zc_BE = self.into(x_t)
        with torch.autocast(x_t.device.type, enabled=False):
            keep_BE, add_BE = _gates(zc_BE)
            h_BE = keep_BE * state + add_BE
        out_BD: Tensor = self.dropout(self.out(h_BE))
        return out_BD, h_BE


def _gates(zc_BLE: Tensor) -> tuple[Tensor, Tensor]:
    """1 - sigmoid(z) and sigmoid(z) g(c), in float32 at least."""
    z_BLE, c_BLE = zc_BLE.to(torch.promote_types(zc_BLE.dtype, torch.float32)).chunk(2, dim=-1)
    candidate_BLE = torch.where(c_BLE >= 0, c_BLE + 0.5, c_BLE.sigmoid())
    return torch.sigmoid(-z_BLE), torch.sigmoid(z_BLE) * candidate_BLE


def _scan(keep_BLE: Tensor, add_BLE: Tensor) -> Tensor:
    """h_t = keep_t h_(t-1) + add_t by pairs: the odd ones from half as many, then the even."""
    length = add_BLE.shape[1]
    if length == 1:
        return add_BLE
    filler = (0, 0, 0, length % 2)
    keep_BLE, add_BLE = F.pad(keep_BLE, filler), F.pad(add_BLE, filler)
    even_BPE, odd_BPE = keep_BLE[:, ::2], keep_BLE[:, 1::2]
    h_odd_BPE = _scan(odd_BPE * even_BPE, torch.addcmul(add_BLE[:, 1::2], odd_BPE, add_BLE[:, ::2]))
    before_BPE = F.pad(h_odd_BPE[:, :-1], (0, 0, 1, 0))
    h_even_BPE = torch.addcmul(add_BLE[:, ::2], even_BPE, before_BPE)
    return torch.stack([h_even_BPE, h_odd_BPE], dim=2).flatten(1, 2)[:, :length]
