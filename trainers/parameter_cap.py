"""The fairness rule of the `fixed` setting: at most 1.1 times the softmax reference's parameters.

This is the "apples to apples" rule of google-research/long-range-arena (README), which allows at
most ten per cent more than the base Transformer. The whole network is counted, by the judge, from
the tensors the worker exports.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from lra_design.records import Finding, HostConfig
from mechanisms.softmax import SoftmaxAttention
from trainers.host import Host, TaskShape

CAP_RATIO = 1.1


def softmax_parameters(host: HostConfig, shape: TaskShape) -> int:
    """Parameters of the network with the softmax reference in the place of the mechanism."""
    with torch.device("meta"):
        network = Host(SoftmaxAttention, {}, host, shape)
    return sum(parameter.numel() for parameter in network.parameters())


def count_parameters(weights: Mapping[str, Tensor], names: Collection[str]) -> int:
    """Elements of the exported tensors that the worker says are parameters."""
    return sum(tensor.numel() for name, tensor in weights.items() if name in names)


def check_parameter_cap(num_parameters: int, host: HostConfig, shape: TaskShape) -> list[Finding]:
    """LRA501: the whole network is over the cap."""
    reference = softmax_parameters(host, shape)
    cap = int(CAP_RATIO * reference)
    if num_parameters <= cap:
        return []
    return [
        Finding(
            check="LRA501",
            name="parameter_cap",
            tier="error",
            expected=f"at most {cap} parameters in the whole network, 1.1 times the softmax's",
            found=f"{num_parameters}, which is {num_parameters / reference:.2f} times",
            likely_cause="several full-width projections side by side, or a large table",
            hint=f"Save {num_parameters - cap} parameters over {host.num_layers} layers: share "
            "projections between branches, or give each branch a part of the channels.",
        )
    ]


def check_only_parameters_trained(
    initial: Mapping[str, Tensor], kept: Mapping[str, Tensor], names: Collection[str]
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
        or not _same(initial[name], kept[name], values=name not in names)
    ]
    if not changed:
        return []
    return [
        Finding(
            check="LRA502",
            name="only_parameters_trained",
            tier="error",
            expected="training changes the values of parameters and nothing else",
            found=f"changed otherwise: {', '.join(sorted(changed)[:5])}",
            likely_cause="a buffer updated in forward, or weights kept as a buffer",
            hint="Make what is learnt an nn.Parameter in __init__; keep no running statistics.",
        )
    ]


def _same(a: Tensor, b: Tensor, *, values: bool) -> bool:
    """Whether shapes and dtypes are equal, and, when asked, the values."""
    return a.shape == b.shape and a.dtype == b.dtype and (not values or torch.equal(a, b))
