"""Features of derivatives: which inputs influence which outputs, and what that depends on."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from agent_sandbox.fingerprint.features import AHEAD, BEHIND, FAR, PERIODS, REGIONS, STEPS
from agent_sandbox.fingerprint.measures import (
    TINY,
    change,
    correlation,
    log_density,
    participation,
    ratio,
    turn,
)

NOTHING = 1e-12
"""Influence below this share of the average is none, but rounding."""


def influence_features(
    at_T: Tensor, one_TLD: Tensor, two_TLD: Tensor, *, causal: bool
) -> dict[str, float]:
    """Of the derivatives of one output channel at positions `at_T`, at two inputs.

    Several rows may belong to one position.
    """
    maps = [_density(at_T, rows_TLD, causal=causal) for rows_TLD in (one_TLD, two_TLD)]
    map_TL = (maps[0] + maps[1]) / 2
    lag_TL = at_T[:, None] - torch.arange(map_TL.shape[1])
    seen_TL = (lag_TL >= 0) if causal else torch.ones_like(lag_TL, dtype=torch.bool)
    own_TL = lag_TL == 0
    share_TL = map_TL / map_TL.sum(1, keepdim=True).clamp(min=TINY)
    return {
        "self_share": share_TL[own_TL].mean().item(),
        "ahead_share": share_TL[lag_TL < 0].sum().item() / len(at_T),
        **_profile(map_TL, lag_TL),
        "first": log_density(map_TL[:, 0].mean().item()),
        "first_four": log_density(map_TL[:, :4].mean().item()),
        "none": (map_TL[seen_TL] < NOTHING).double().mean().item(),
        "breadth": _breadth(share_TL, seen_TL),
        **_explained(map_TL, lag_TL, seen_TL & ~own_TL),
        **_periods(map_TL, lag_TL),
        "map_rank": participation(map_TL.sqrt()) / len(at_T),
        "map_change": _map_change(maps[0], maps[1], seen_TL),
        "turn_of_others": turn(one_TLD[~own_TL], two_TLD[~own_TL]),
        "turn_of_self": turn(one_TLD[own_TL], two_TLD[own_TL]),
    }


def _density(at_T: Tensor, rows_TLD: Tensor, *, causal: bool) -> Tensor:
    """`(T, L)` squared influence in units of its average over the positions in sight."""
    square_TL = rows_TLD.square().sum(-1)
    count_T1 = (at_T[:, None] + 1) if causal else torch.full((len(at_T), 1), square_TL.shape[1])
    return square_TL * count_T1 / square_TL.sum(1, keepdim=True).clamp(min=TINY)


def _profile(map_TL: Tensor, lag_TL: Tensor) -> dict[str, float]:
    found = {}
    for name, bins, sign in (("behind", BEHIND, 1), ("ahead", AHEAD, -1)):
        for low, high in bins:
            within_TL = (sign * lag_TL >= low) & (sign * lag_TL <= high)
            label = f"{low}" if low == high else f"{low}-{high}"
            density = map_TL[within_TL].mean().item() if within_TL.any() else 0.0
            found[f"{name}_{label}"] = log_density(density)
    return found


def far_features(at: int, rows_TLD: Tensor, *, causal: bool) -> dict[str, float]:
    """Of the derivatives of the output at one position of long inputs, by how far the input is."""
    square_L = rows_TLD.square().sum((0, 2))
    density_L = square_L / square_L.mean().clamp(min=TINY)
    found = {
        f"far_{low}-{high}": log_density(density_L[at - high : at - low + 1].mean().item())
        for low, high in FAR
    }
    seen_L = density_L[: at + 1] if causal else density_L
    return {
        **found,
        "far_none": (seen_L < NOTHING).double().mean().item(),
        "far_ahead": log_density(density_L[at + 1 :].mean().item()),
    }


def _breadth(share_TL: Tensor, seen_TL: Tensor) -> float:
    entropy_T = -(share_TL * share_TL.clamp(min=TINY).log()).sum(1)
    return (entropy_T.exp() / seen_TL.sum(1)).mean().item()


def _logs(map_TL: Tensor) -> Tensor:
    return (map_TL + 1e-6).log()


def _explained(map_TL: Tensor, lag_TL: Tensor, among_TL: Tensor) -> dict[str, float]:
    """What the lag explains of the log influence, and the sender of what is left."""
    values = _logs(map_TL)[among_TL]
    senders = torch.arange(map_TL.shape[1]).expand_as(map_TL)[among_TL]
    left = values - _group_means(values, lag_TL[among_TL])
    rest = left - _group_means(left, senders)
    total, residual = values.var().item(), left.var().item()
    return {
        "stationarity": 1.0 - residual / total if total > NOTHING else 1.0,
        "stripes": 1.0 - rest.var().item() / residual if residual > NOTHING else 0.0,
    }


def _group_means(values: Tensor, groups: Tensor) -> Tensor:
    """For each value the mean of its group."""
    index = groups - groups.min()
    sums = torch.zeros(int(index.max()) + 1, dtype=values.dtype).index_add(0, index, values)
    return (sums / torch.bincount(index))[index]


def _periods(map_TL: Tensor, lag_TL: Tensor) -> dict[str, float]:
    """Autocorrelation of the steps of the profile over the nearest 48 lags."""
    profile = torch.stack([_logs(map_TL)[lag_TL == lag].mean() for lag in range(1, 49)])
    steps = profile.diff()
    return {
        f"period_{period}": correlation(steps[period:], steps[:-period])
        if steps.std().item() > NOTHING
        else 0.0
        for period in PERIODS
    }


def _map_change(one_TL: Tensor, two_TL: Tensor, seen_TL: Tensor) -> float:
    return 1.0 - correlation(_logs(one_TL)[seen_TL], _logs(two_TL)[seen_TL])


def block_features(
    at: int, blocks_DLE: Tensor, redrawn: dict[str, Tensor], near: slice
) -> dict[str, float]:
    """Of the whole derivative of the output at `at`: D output channels by L positions by E input
    channels. redrawn: the same where the inputs of a region were drawn anew. near: the inputs
    whose influence the regions are seen from.
    """
    num_channels = blocks_DLE.shape[0]
    others = torch.arange(blocks_DLE.shape[1]) != at
    others_DLE, self_DE = blocks_DLE[:, others], blocks_DLE[:, at]
    near_DLE = blocks_DLE[:, near]
    found = {f"likeness_{step}": _likeness(blocks_DLE[:, :at], step) for step in STEPS}
    found |= {
        "patterns": math.log10(max(participation(others_DLE.transpose(0, 1).flatten(1)), 1.0)),
        "rank_out": participation(others_DLE.flatten(1)) / num_channels,
        "rank_in": participation(others_DLE.flatten(0, 1).T) / num_channels,
        "rank_of_pair": _rank_of_pair(others_DLE) / num_channels,
        "own_channel": _own_channel(others_DLE),
        "own_channel_self": _own_channel(self_DE[:, None]),
    }
    for region in REGIONS:
        other_DLE = redrawn[region][:, near]
        found[f"change_{region}"] = change(near_DLE, other_DLE)
        found[f"turn_{region}"] = turn(near_DLE, other_DLE)
    return found


def _likeness(past_DLE: Tensor, step: int) -> float:
    return 1.0 - turn(past_DLE[:, step:], past_DLE[:, :-step])


def _rank_of_pair(others_DLE: Tensor) -> float:
    """Mean over the positions, each weighed by its influence."""
    blocks_LDE = others_DLE.transpose(0, 1)
    weights_L = blocks_LDE.square().sum((1, 2))
    ranks = [participation(block_DE) for block_DE in blocks_LDE]
    total = weights_L.sum().item()
    weighted: float = sum(w * r for w, r in zip(weights_L.tolist(), ranks, strict=True))
    return weighted / max(total, TINY)


def _own_channel(blocks_DLE: Tensor) -> float:
    square_DE = blocks_DLE.square().sum(1)
    share = ratio(square_DE.trace().item(), square_DE.sum().item())
    return log_density(share * len(square_DE))
