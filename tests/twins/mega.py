"""Naive twin of `mechanisms/mega.py`."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(70, 33), H=1, K=3, hyperparameters={"chunk": 16, "attention": "laplace"}),
    Case(lengths=(64, 49), H=1, K=7, hyperparameters={"chunk": 16, "ema_size": 1, "z_size": 1}),
    Case(lengths=(9,), max_seq_len=11, hyperparameters={"expansion": 2.0}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"attention": "relu2"}, "attention must be one of softmax, laplace, found relu2"),
    ({"chunk": 0}, "chunk must be at least 1, found 0"),
    ({"ema_size": 0}, "ema_size must be at least 1, found 0"),
    ({"z_size": 0}, "z_size must be at least 1, found 0"),
    ({"expansion": 0.0}, "expansion must give at least one value, found 0.0"),
)


def forward(
    mechanism: Mechanism,
    x_LD: Tensor,
    attention: str = "softmax",
    chunk: int = 128,
    z_size: int = 12,
    **sizes: object,
) -> Tensor:
    L, D = x_LD.shape
    E = len(mechanism.value.weight)
    mixed_LD = F.silu(naive_average(mechanism, x_LD) + mechanism.omega_D * x_LD)
    u_LD, r_LE, g_LD, z_LZ = (mixed_LD @ mechanism.mix.weight.T).split((D, E, D, z_size), dim=1)
    gamma_QZ, mu_QZ = mechanism.gamma_QZ, mechanism.mu_QZ
    q_LZ, k_LZ = (F.silu(z_LZ) * gamma_QZ[i] + mu_QZ[i] for i in (0, 1))
    v_LE = F.silu(x_LD @ mechanism.value.weight.T)
    rows = []
    for t in range(L):
        first = t // chunk * chunk
        seen = range(first, t + 1 if mechanism.config.causal else min(first + chunk, L))
        scores_S = (k_LZ[list(seen)] @ q_LZ[t]) / (
            math.sqrt(z_size) if attention == "softmax" else len(seen)
        )
        scores_S = scores_S + torch.stack([naive_bias(mechanism, s - t) for s in seen])
        if attention == "softmax":
            weights_S = scores_S.softmax(0)
        else:
            normal = torch.distributions.Normal(math.sqrt(1 / 2), math.sqrt(1 / (4 * math.pi)))
            weights_S = normal.cdf(scores_S)
        rows.append(weights_S @ v_LE[list(seen)])
    hidden_LD = (F.silu(r_LE) * torch.stack(rows)) @ mechanism.hidden.weight.T
    return u_LD.sigmoid() * (F.silu(g_LD + hidden_LD) - x_LD)


def naive_bias(mechanism: Mechanism, offset: int) -> Tensor:
    """Of a key `offset` positions ahead; a table over lags when causal."""
    causal = mechanism.config.causal
    return mechanism.bias_O[-offset if causal else offset + mechanism.chunk - 1]


def naive_average(mechanism: Mechanism, x_LD: Tensor) -> Tensor:
    """`(L, D)`: the moving average back and, without causality, the one of what is ahead."""
    alpha_RDN, delta_RDN = mechanism.alpha_RDN.sigmoid(), mechanism.delta_RDN.sigmoid()
    scale = math.sqrt(alpha_RDN.shape[2])

    def run(x_LD: Tensor, r: int) -> list[tuple[Tensor, Tensor]]:
        """eta m before and after each position is added."""
        m_DN, rows = torch.zeros_like(alpha_RDN[r]), []
        for x_D in x_LD:
            before_DN = (1 - alpha_RDN[r] * delta_RDN[r]) * m_DN
            m_DN = before_DN + alpha_RDN[r] * mechanism.beta_RDN[r] * x_D[:, None]
            rows.append(tuple((mechanism.eta_RDN[r] * m).sum(1) / scale for m in (before_DN, m_DN)))
        return rows

    back = torch.stack([after_D for _, after_D in run(x_LD, 0)])
    if mechanism.config.causal:
        return back
    return back + torch.stack([before_D for before_D, _ in run(x_LD.flip(0), 1)]).flip(0)
