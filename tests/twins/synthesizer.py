"""Naive twin of `mechanisms/synthesizer.py`."""

from __future__ import annotations

import torch
from torch import Tensor
from twin_case import Case

from lra_design import Mechanism

CASES = (
    Case(),
    Case(lengths=(29, 13), H=2, K=3, max_seq_len=40),
    Case(lengths=(37, 23), H=2, K=3, hyperparameters={"variant": "dense"}),
    Case(lengths=(37, 23), H=2, K=3, hyperparameters={"variant": "factorised_random", "rank": 2}),
    Case(lengths=(19, 11), H=2, K=3, max_seq_len=23, hyperparameters={"variant": "random"}),
    Case(lengths=(1,), H=1, K=2),
)
REFUSED = (
    ({"variant": "static"}, 'variant must be one of .*, found "static"'),
    ({"rank": 0}, "rank must be at least 1, found 0"),
)


def forward(
    mechanism: Mechanism, x_LD: Tensor, variant: str = "factorised_dense", rank: int = 8
) -> Tensor:
    L, H = len(x_LD), mechanism.config.num_heads
    v_LHK = (x_LD @ mechanism.value.weight.T).reshape(L, H, -1)
    rows = []
    for t in range(L):
        seen = range(t + 1 if mechanism.config.causal else L)
        scores_HS = torch.stack([score(mechanism, variant, x_LD[t], t, s) for s in seen], dim=1)
        weights_HS = scores_HS.softmax(1)
        rows.append(torch.einsum("hs,shk->hk", weights_HS, v_LHK[seen]).flatten())
    return torch.stack(rows) @ mechanism.out.weight.T


def score(mechanism: Mechanism, variant: str, x_D: Tensor, t: int, s: int) -> Tensor:
    """b_ts of each head, `(H,)`."""
    if variant == "random":
        return mechanism.table_HLS[:, t, s]
    if variant == "factorised_random":
        return (mechanism.left_HLR[:, t] * mechanism.right_HSR[:, s]).sum(1)
    h_HK = (x_D @ mechanism.hidden.weight.T + mechanism.hidden.bias).relu()
    h_HK = h_HK.reshape(mechanism.config.num_heads, -1)
    scores_HN = h_HK @ mechanism.scores.weight.T + mechanism.scores.bias
    if variant == "dense":
        return scores_HN[:, s]
    n = scores_HN.shape[1] // 2
    return scores_HN[:, s // n] * scores_HN[:, n + s % n]
