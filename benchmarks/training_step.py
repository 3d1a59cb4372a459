"""Where the time of a training step goes, on one thread, by reference mechanism.

    python benchmarks/training_step.py [TASK] [STEPS]

Times the parts of the very loop that trains, from outside: everything but forward (loss
included), backward and optimiser (clipping included) counts as overhead.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from agent_sandbox.candidate import load_mechanism
from mechanisms import FEW, reference_source
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.recipes import get_recipe

WARM_UP_STEPS = 20


class Clock:
    """Seconds spent in named parts."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.perf_counter() - started

        return call


def overhead(mechanism: str, task_id: str, num_steps: int) -> tuple[float, float]:
    """Milliseconds a step, and the share of it outside forward, backward and optimiser."""
    task, recipe = get_task(task_id), get_recipe(task_id, "smoke")
    torch.manual_seed(0)
    network = Host(load_mechanism(reference_source(mechanism)), {}, recipe.host, task_shape(task))
    split = labelled_split(task, "train")
    loop = TrainingLoop(network, split.sequences, split.labels, recipe.train, seed=0)
    loop.run(WARM_UP_STEPS)
    clock = Clock()
    network.forward = clock.timed("forward", network.forward)  # type: ignore[method-assign]
    optimizer = loop._optimizer
    optimizer.step = clock.timed("optimiser", optimizer.step)  # type: ignore[method-assign]
    backward, clip = torch.Tensor.backward, torch.nn.utils.clip_grad_norm_
    loss = F.cross_entropy
    F.cross_entropy = clock.timed("forward", loss)
    torch.Tensor.backward = clock.timed("backward", backward)  # type: ignore[method-assign]
    torch.nn.utils.clip_grad_norm_ = clock.timed("optimiser", clip)
    try:
        started = time.perf_counter()
        loop.run(WARM_UP_STEPS + num_steps)
        total = time.perf_counter() - started
    finally:
        torch.Tensor.backward = backward  # type: ignore[method-assign]
        torch.nn.utils.clip_grad_norm_ = clip
        F.cross_entropy = loss
    return 1e3 * total / num_steps, 1.0 - sum(clock.seconds.values()) / total


def main(task_id: str, num_steps: int) -> None:
    torch.set_num_threads(1)
    for mechanism in FEW:
        milliseconds, share = overhead(mechanism, task_id, num_steps)
        print(f"{mechanism:18s} {milliseconds:6.1f} ms a step, {100 * share:4.1f} % overhead")


if __name__ == "__main__":
    main(
        task_id=sys.argv[1] if len(sys.argv) > 1 else "listops-mini",
        num_steps=int(sys.argv[2]) if len(sys.argv) > 2 else 150,
    )
