"""The diagonal state space run as a recurrence, position by position, instead of a convolution."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class StateByState(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig, size: int = 32) -> None:
        super().__init__(config)
        D = config.d_model
        n = torch.arange(2 * size, dtype=torch.float64)
        root = (n + 0.5).sqrt()
        hippo = -2 * torch.outer(root, root).tril(-1) - torch.diag(n + 1)
        normal = hippo + torch.outer(root, root)
        waves = torch.linalg.eigvals(normal).imag.sort().values[size:]
        self.rate = nn.Parameter(torch.full((size,), 0.5).log())
        self.waves = nn.Parameter(waves.to(torch.get_default_dtype()))
        low, high = math.log(0.001), math.log(0.1)
        self.pace = nn.Parameter(low + (high - low) * torch.rand(D))
        self.read = nn.Parameter(torch.randn(2, D, size) / math.sqrt(2))
        self.through = nn.Parameter(torch.randn(D))
        self.value, self.gate = (nn.Linear(D, D, bias=False) for _ in range(2))
        for layer in (self.value, self.gate):
            nn.init.uniform_(layer.weight, -(D**-0.5), D**-0.5)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            u = x.to(torch.promote_types(x.dtype, torch.float32))
            pole = torch.complex(-self.rate.exp(), self.waves)
            keep = (self.pace.exp()[:, None] * pole).exp()
            enter = (keep - 1) / pole
            read = torch.complex(self.read[0], self.read[1])
            state = torch.zeros(len(x), *keep.shape, dtype=keep.dtype, device=x.device)
            rows = []
            for row in u.unbind(1):
                state = keep * state + enter * row[..., None]
                rows.append(2 * (read * state).sum(-1).real)
            y = F.gelu(torch.stack(rows, 1) + self.through * u)
        return self.drop(self.value(y) * torch.sigmoid(self.gate(y)))
