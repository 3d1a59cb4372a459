"""LRA50x: what the judge asks of a network in training, from the tensors the worker exports.

The cap is the "apples to apples" rule of google-research/long-range-arena (README), which allows at
most ten per cent more parameters than the base Transformer. The whole network is counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

import torch
from torch import Tensor

from agent_sandbox.validator.registry import ENTRIES
from agent_sandbox.validator.violation import plain
from lra_design.errors import CandidateFault
from lra_design.records import Finding, HostConfig
from mechanisms.softmax import SoftmaxAttention
from trainers.host import Host, TaskShape

CAP_RATIO = 1.1
CHECKPOINT_EXTRA_BYTES = 1024**2
"""For what a checkpoint holds besides weights and their moments: the random state, counters."""
REBUILT_TOLERANCE = 0.005
"""Largest honest difference in accuracy between two processes with the same weights."""


def softmax_parameters(host: HostConfig, shape: TaskShape) -> int:
    """Parameters of the network with the softmax reference in the place of the mechanism."""
    with torch.device("meta"):
        network = Host(SoftmaxAttention, {}, host, shape)
    return sum(parameter.numel() for parameter in network.parameters())


def parameter_cap(host: HostConfig, shape: TaskShape) -> int:
    """The most parameters that the whole network may have, on every track."""
    return int(CAP_RATIO * softmax_parameters(host, shape))


def count_parameters(weights: Mapping[str, Tensor], names: Set[str]) -> int:
    """Numbers held by the exported tensors that the worker says are parameters.

    In units of four bytes where the numbers are wider: a complex or a float64 one counts twice, so
    that nothing is gained by packing. Tied weights count once for each name they are exported by.
    Raises CandidateFault when a parameter is not among the tensors.
    """
    missing = sorted(names - weights.keys())
    if missing:
        raise CandidateFault("protocol", f"parameters that are not exported: {missing[:5]}")
    return sum(
        tensor.numel() * max(1, tensor.element_size() // 4)
        for name, tensor in weights.items()
        if name in names
    )


def check_parameter_cap(num_parameters: int, host: HostConfig, shape: TaskShape) -> list[Finding]:
    """LRA501: the whole network is over the cap."""
    reference, cap = softmax_parameters(host, shape), parameter_cap(host, shape)
    if num_parameters <= cap:
        return []
    return [
        Finding(
            check="LRA501",
            name=ENTRIES["LRA501"].name,
            tier="error",
            expected=f"at most {cap} parameters in the whole network, 1.1 times the softmax's",
            found=f"{num_parameters}, which is {num_parameters / reference:.2f} times",
            likely_cause="several full-width projections side by side, or a large table",
            hint=f"Save {num_parameters - cap} parameters over {host.num_layers} layers: share "
            "projections between branches, or give each branch a part of the channels.",
        )
    ]


def check_only_parameters_trained(
    initial: Mapping[str, Tensor], kept: Mapping[str, Tensor], names: Set[str]
) -> list[Finding]:
    """LRA502: what will be scored is not the network that was counted, with other parameters.

    initial: exported before the worker saw any data. kept: the weights that will be scored. Their
    names, shapes and dtypes are the same, and of other tensors than parameters the values too.
    """
    changed = [
        name
        for name in initial.keys() | kept.keys()
        if name not in initial
        or name not in kept
        or not same_tensor(initial[name], kept[name], values=name not in names)
    ]
    if not changed:
        return []
    return [
        Finding(
            check="LRA502",
            name=ENTRIES["LRA502"].name,
            tier="error",
            expected="training changes the values of parameters and nothing else",
            found=plain(f"changed otherwise: {', '.join(sorted(changed)[:5])}"),
            likely_cause="a buffer updated in forward, or weights kept as a buffer",
            hint="Make what is learnt an nn.Parameter in __init__; keep no running statistics.",
        )
    ]


def check_rebuilt(trained: float, rebuilt: float) -> list[Finding]:
    """LRA503: the weights alone do not give the accuracy that the training process gave."""
    if abs(trained - rebuilt) <= REBUILT_TOLERANCE:
        return []
    return [
        Finding(
            check="LRA503",
            name=ENTRIES["LRA503"].name,
            tier="error",
            expected=f"validation accuracy {trained:.4f} again, in a process that never trained",
            found=f"{rebuilt:.4f}",
            likely_cause="something learnt that is no parameter: a list, a closure, a global",
            hint="Make what is learnt an nn.Parameter in __init__; keep nothing between calls.",
        )
    ]


def require_small(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """A checkpoint is the weights, two moments of each and little else; else a CandidateFault."""
    size, of_weights = (sum(t.nbytes for t in tensors.values()) for tensors in (state, weights))
    allowed = 4 * of_weights + CHECKPOINT_EXTRA_BYTES
    if size > allowed:
        raise CandidateFault("protocol", f"a checkpoint of {size} bytes, allowed {allowed}")


def require_same(weights: Mapping[str, Tensor], replayable: Mapping[str, Tensor]) -> None:
    """What is exported to be scored is what the states say, which are replayed."""
    names = weights.keys() & replayable.keys()
    if not all(same_tensor(weights[name], replayable[name]) for name in names):
        raise CandidateFault("protocol", "exported weights that are not those of the checkpoint")


def same_tensor(a: Tensor, b: Tensor, *, values: bool = True) -> bool:
    """Whether shapes and dtypes are equal, and, when asked, the values, bit by bit."""
    return a.shape == b.shape and a.dtype == b.dtype and (not values or _equal_bits(a, b))


def _equal_bits(a: Tensor, b: Tensor) -> bool:
    a_bytes, b_bytes = (t.contiguous().flatten().view(torch.uint8) for t in (a, b))
    return torch.equal(a_bytes, b_bytes)
