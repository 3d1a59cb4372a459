"""A mean over the past: every head forgets at a rate of its own, every channel has a gate."""

import torch
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class DecayingMean(Mechanism):
    supports_bidirectional = False  # it only looks back, so padding on the right is never seen
    claimed_cost = 2.0
    search_space = {"longest": {"type": "float", "low": 8.0, "high": 512.0, "log": True}}

    def __init__(self, config: MechanismConfig, *, longest: float = 64.0) -> None:
        super().__init__(config)
        D, H = config.d_model, config.num_heads
        spans_H = longest ** torch.linspace(0, 1, H)  # from 1 position to the longest
        self.rates_H = nn.Parameter(-spans_H.log())
        self.value, self.gate, self.out = (nn.Linear(D, D) for _ in range(3))

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        B, L, D = x.shape
        at_L = torch.arange(L, device=x.device)
        age_LS = at_L[:, None] - at_L
        falling_HLS = -age_LS * self.rates_H.exp()[:, None, None]
        weights_HLS = falling_HLS.masked_fill(age_LS < 0, -torch.inf).softmax(-1)
        v_BSHK = self.value(x).view(B, L, self.config.num_heads, -1)
        mixed_BLHK = torch.einsum("hls,bshk->blhk", weights_HLS, v_BSHK)
        return self.out(mixed_BLHK.reshape(B, L, D) * self.gate(x).sigmoid())
