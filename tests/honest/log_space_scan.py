# minGRU by a parallel scan in log space (Feng et al. 2024, arXiv:2410.01201).
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lra_design import Mechanism, MechanismConfig


class LogSpaceScan(Mechanism):
    supports_bidirectional = False

    def __init__(self, config: MechanismConfig) -> None:
        super().__init__(config)
        self.project = nn.Linear(config.d_model, 2 * config.d_model)

    def forward(self, x: Tensor, key_padding_mask: Tensor | None = None) -> Tensor:
        gate_BLD, hidden_BLD = (
            self.project(x).to(torch.promote_types(x.dtype, torch.float32)).chunk(2, -1)
        )
        log_keep_BLD = -F.softplus(gate_BLD)
        log_new_BLD = -F.softplus(-gate_BLD) + log_g(hidden_BLD)
        total_BLD = log_keep_BLD.cumsum(1)
        log_h_BLD = total_BLD + torch.logcumsumexp(log_new_BLD - total_BLD, dim=1)
        return log_h_BLD.exp().to(x.dtype)


def log_g(x: Tensor) -> Tensor:
    """Logarithm of the positive map x + 0.5 for x >= 0 and sigmoid(x) below."""
    return torch.where(x >= 0, (F.relu(x) + 0.5).log(), -F.softplus(-x))
