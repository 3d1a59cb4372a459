"""What share of a training step goes to making its batch, for a host of 2 layers and width 64.

    python benchmarks/loader.py [TASK ...]

CPU time of one thread: which examples, and gathering them out of the memory-mapped split into a
padded batch, against the whole step. The mechanism is the cheapest there is, the running mean; with
any other the share is smaller.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from lra_design.records import HostConfig, TrainConfig
from mechanisms.mean import Mean
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop

HOST = HostConfig(
    d_model=64, num_heads=2, num_layers=2, d_mlp=128, causal=True, positions="sinusoidal"
)
TRAIN = TrainConfig(
    num_steps=200, batch_size=32, learning_rate=1e-4, weight_decay=0.0, evaluate_every=200
)
WARM_UP_STEPS = 3
DEFAULT = ("listops-v1", "listops-mini", "delay-probe")


class Loading:
    """CPU seconds in what makes batches."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            began = time.process_time()
            try:
                return function(*args)
            finally:
                self.seconds += time.process_time() - began

        return call


def measure(task_id: str, num_steps: int) -> tuple[float, float]:
    """Milliseconds of CPU time a step, and the share of it that makes the batch."""
    task = get_task(task_id)
    torch.manual_seed(0)
    network = Host(Mean, {}, HOST, task_shape(task))
    split = labelled_split(task, "train")
    loop = TrainingLoop(network, split.sequences, split.labels, TRAIN, seed=0)
    loop.run(WARM_UP_STEPS)
    loading = Loading()
    loop.feed.parts = loading.timed(loop.feed.parts)  # type: ignore[method-assign]
    began = time.process_time()
    loop.run(WARM_UP_STEPS + num_steps)
    total = time.process_time() - began
    return 1e3 * total / num_steps, loading.seconds / total


def main(task_ids: list[str]) -> None:
    torch.set_num_threads(1)
    for task_id in task_ids:
        num_steps = 20 if get_task(task_id).max_seq_len > 500 else 100
        milliseconds, share = measure(task_id, num_steps)
        print(f"{task_id:20s} {milliseconds:7.1f} ms a step, {100 * share:4.2f} % makes the batch")


if __name__ == "__main__":
    main(sys.argv[1:] or list(DEFAULT))
