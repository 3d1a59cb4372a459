"""The vector of a mechanism's behaviour: features averaged over draws of weights and inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from agent_sandbox.fingerprint.features import FEATURES
from agent_sandbox.fingerprint.influence import block_features, far_features, influence_features
from agent_sandbox.fingerprint.measures import change
from agent_sandbox.fingerprint.responses import EXAMPLES, response_features
from agent_sandbox.fingerprint.rig import D_MODEL, MAX_SEQ_LEN, NUM_HEADS, Rig, derivative, output
from agent_sandbox.validator.built import Built
from agent_sandbox.validator.draw import Draw

NUM_ROUNDS = 4
SHORTEST = 80
"""Lengths are drawn from here to `MAX_SEQ_LEN`."""
NUM_ROWS = 40
"""Pairs of a position and an output channel whose derivatives a map is made of."""
LONG, LONG_ROWS = 1024, 2
"""Windows and chunks are often longer than `MAX_SEQ_LEN`."""
NEAR = (7, 4)
"""How far before the watched position the near inputs begin, and end."""


def behaviour(rig: Rig, seed: int, advance: Callable[[], None]) -> dict[str, float]:
    """Every feature, averaged over `NUM_ROUNDS` draws; `advance` is called after each."""
    rounds = []
    for index in range(NUM_ROUNDS):
        draw = Draw(seed, f"round {index}")
        rounds.append(_round(rig, rig.build(draw.integer(0, 2**31)), draw))
        advance()
    return {name: sum(found[name] for found in rounds) / NUM_ROUNDS for name in FEATURES}


def _round(rig: Rig, built: Built, draw: Draw) -> dict[str, float]:
    """The features of one draw of weights."""
    length = 2 * draw.integer(SHORTEST // 2, MAX_SEQ_LEN // 2)
    output(built, torch.zeros(1, length, D_MODEL))  # what is no output has no derivative either
    return {
        **_influence(built, draw, length),
        **_far(rig, built, draw),
        **_blocks(built, draw, length),
        **response_features(partial(output, built), draw, length, D_MODEL),
        **_other_builds(rig, built, draw),
    }


def _influence(built: Built, draw: Draw, length: int) -> dict[str, float]:
    """At two inputs, the same rows: positions from the first quarter on, channels at random."""
    at_T = torch.tensor([draw.integer(length // 4, length - 1) for _ in range(NUM_ROWS)])
    channel_T = torch.tensor([draw.integer(0, D_MODEL - 1) for _ in range(NUM_ROWS)])
    cotangent_TLD = torch.zeros(NUM_ROWS, length, D_MODEL, dtype=torch.float64)
    cotangent_TLD[torch.arange(NUM_ROWS), at_T, channel_T] = 1.0
    one, two = (
        derivative(built, draw.normal(1, length, D_MODEL).expand_as(cotangent_TLD), cotangent_TLD)
        for _ in range(2)
    )
    return influence_features(at_T, one, two, causal=built.setup.config.causal)


def _far(rig: Rig, built: Built, draw: Draw) -> dict[str, float]:
    """From within inputs of `LONG` positions, which takes another build.

    Not from their end: what stands there may see more than the rest.
    """
    at = 3 * LONG // 4
    long = rig.rebuild(built, replace(built.setup.config, max_seq_len=LONG))
    cotangent_BLD = torch.zeros(LONG_ROWS, LONG, D_MODEL, dtype=torch.float64)
    cotangent_BLD[:, at] = draw.normal(LONG_ROWS, D_MODEL)
    rows_BLD = derivative(long, draw.normal(*cotangent_BLD.shape), cotangent_BLD)
    return far_features(at, rows_BLD, causal=built.setup.config.causal)


def _blocks(built: Built, draw: Draw, length: int) -> dict[str, float]:
    """The whole derivative of one output, and how it changes with each region of the input."""
    at = 3 * length // 4
    near = slice(at - NEAR[0], at - NEAR[1] + 1)
    x_LD, new_LD = draw.normal(length, D_MODEL), draw.normal(length, D_MODEL)
    regions = {
        "before": slice(0, near.start),
        "itself": near,
        "between": slice(near.stop, at),
        "query": slice(at, at + 1),
        "after": slice(at + 1, length),
    }
    inputs = [x_LD, *(_replaced(x_LD, new_LD, where) for where in regions.values())]
    cotangent_DLE = torch.zeros(D_MODEL, length, D_MODEL, dtype=torch.float64)
    cotangent_DLE[:, at] = torch.eye(D_MODEL, dtype=torch.float64)
    stacked = torch.stack(inputs).repeat_interleave(D_MODEL, 0)
    blocks = derivative(built, stacked, cotangent_DLE.repeat(len(inputs), 1, 1))
    base_DLE, *others = blocks.chunk(len(inputs))
    return block_features(at, base_DLE, dict(zip(regions, others, strict=True)), near)


def _replaced(x_LD: Tensor, new_LD: Tensor, where: slice) -> Tensor:
    copy_LD = x_LD.clone()
    copy_LD[where] = new_LD[where]
    return copy_LD


def _other_builds(rig: Rig, built: Built, draw: Draw) -> dict[str, float]:
    """The same weights read with more heads, or built for a lower limit."""
    limit, config = MAX_SEQ_LEN // 2, built.setup.config
    x_BLD = draw.normal(EXAMPLES, limit, D_MODEL)
    y_BLD = output(built, x_BLD)
    heads = output(rig.rebuild(built, replace(config, num_heads=2 * NUM_HEADS)), x_BLD)
    limited = output(rig.rebuild(built, replace(config, max_seq_len=limit)), x_BLD)
    return {"head_change": change(heads, y_BLD), "limit_change": change(limited, y_BLD)}
