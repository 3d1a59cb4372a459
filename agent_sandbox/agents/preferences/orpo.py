"""The loss of ORPO: likelihood of what was preferred, and its odds over what was not.

Hong, Lee and Thorne 2024 (arXiv 2403.07691), without a reference policy:

    P(y)  = exp(mean over y's choices of log p(choice | the choices before))
    odds  = P / (1 - P)
    loss  = -log P(chosen) - weight * log sigmoid(log odds(chosen) - log odds(rejected))

with `weight` their lambda. P is the geometric mean over the choices, so that the loss compares
programs of different lengths.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_LOG = -1e-6
"""Log-probabilities above it count as it: certainty has no finite odds."""


def mean_log_probability(log_probability_PT: Tensor, taken_PT: Tensor) -> Tensor:
    """The mean over each program's choices, (P,).

    log_probability_PT (P, T): of each choice, given those before. taken_PT (P, T) bool: False
    behind the end of a program, where nothing is read; each program has a choice.
    """
    total_P = torch.where(taken_PT, log_probability_PT, 0.0).sum(dim=1)
    return total_P / taken_PT.sum(dim=1)


def log_odds(log_p: Tensor) -> Tensor:
    """log(P / (1 - P)) from log P, any shape; without cancellation near 0 and near 1."""
    log_p = log_p.clamp(max=LARGEST_LOG)
    return log_p - torch.log(-torch.expm1(log_p))


def orpo_loss(chosen: Tensor, rejected: Tensor, weight: float) -> Tensor:
    """The mean loss over pairs, a scalar.

    chosen, rejected (N,): mean log-probabilities of the better and the worse of each pair. weight:
    of the odds; 0 leaves the likelihood of what was chosen.
    """
    odds_N = F.logsigmoid(log_odds(chosen) - log_odds(rejected))
    return (-chosen - weight * odds_N).mean()
