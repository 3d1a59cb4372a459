"""Where the time of a training step goes, by reference mechanism.

    python benchmarks/training_step.py [TASK] [SCALE] [STEPS] [--mechanisms NAME ...] [--trace FILE]

Puts a clock round the parts of the very loop that trains. All but forward (loss included),
backward (until its graph is gone) and optimiser (clipping included) is overhead. CPU time of one
thread; the middle of three rounds. Where TASK is not prepared, tokens are drawn: their values
change no time, their lengths are distributed like those of movie reviews, cut to the task's.

--trace writes a few steps of each mechanism as torch.profiler sees them, with the same parts by
name, for https://ui.perfetto.dev. There the kernels are, on a GPU, and the gaps between them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.profiler import record_function

from agent_sandbox.candidate import load_mechanism
from lra_design.errors import DataError
from mechanisms import FEW, reference_source
from tasks.registry import get_task
from tasks.task import Task
from trainers.accuracy import labelled_split
from trainers.batches import Sequences
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.recipes import get_recipe

WARM_UP_STEPS = 2
ROUNDS = 3
PARTS = ("batches", "forward", "backward", "optimiser")


class Clock:
    """CPU seconds spent in named parts."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[name] += time.process_time() - started

        return call


def named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a range of that name in a trace."""

    def call(*args: Any, **kwargs: Any) -> Any:
        with record_function(name):
            return function(*args, **kwargs)

    return call


@contextmanager
def parts(loop: TrainingLoop, wrap: Callable[[str, Callable[..., Any]], Any]) -> Iterator[None]:
    """Every part of the loop's steps goes through `wrap` by its name."""
    clip = torch.nn.utils.clip_grad_norm_
    step, feed = loop._optimizer.step, loop.feed.parts
    loop.feed.parts = wrap("batches", feed)  # type: ignore[method-assign]
    loop._loss = wrap("forward", loop._loss)  # type: ignore[method-assign]
    loop._accumulate = wrap("gradients", loop._accumulate)  # type: ignore[method-assign]
    torch.nn.utils.clip_grad_norm_ = wrap("optimiser", clip)
    loop._optimizer.step = wrap("optimiser", step)  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.nn.utils.clip_grad_norm_ = clip
        loop._optimizer.step, loop.feed.parts = step, feed  # type: ignore[method-assign]
        del loop._loss, loop._accumulate


def make_loop(mechanism: str, task_id: str, scale: str) -> TrainingLoop:
    task, recipe = get_task(task_id), get_recipe(task_id, scale)
    torch.manual_seed(0)
    network = Host(load_mechanism(reference_source(mechanism)), {}, recipe.host, task_shape(task))
    try:
        split = labelled_split(task, "train")
        sequences, labels = split.sequences, split.labels
    except DataError:
        sequences, labels = drawn(task)
    return TrainingLoop(network, sequences, labels, recipe.train, seed=0)


def drawn(task: Task) -> tuple[Sequences, torch.Tensor]:
    """Random tokens in place of a task that is not prepared, one label an example."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.exp(6.97 + 0.66 * torch.randn(4000, generator=generator)).long()
    offsets = torch.cat([torch.zeros(1).long(), lengths.clamp(52, task.max_seq_len).cumsum(0)])
    tokens = torch.randint(0, 9, (int(offsets[-1]),), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, task.num_classes, (4000 // task.documents,), dtype=torch.int16)
    return Sequences(tokens, offsets, task.first_id, task.documents), labels


def shares(loop: TrainingLoop, num_steps: int) -> dict[str, float]:
    """Seconds of a step, by part; `step` is the whole of it."""
    clock = Clock()
    with parts(loop, clock.timed):
        started = time.process_time()
        loop.run(loop.step + num_steps)
        total = time.process_time() - started
    clock.seconds["backward"] = clock.seconds["gradients"] - clock.seconds["forward"]
    return {name: clock.seconds[name] / num_steps for name in PARTS} | {"step": total / num_steps}


def report(mechanism: str, loop: TrainingLoop, num_steps: int) -> str:
    """One line: milliseconds a step, the share of each part and that of all overhead."""
    rounds = [shares(loop, num_steps) for _ in range(ROUNDS)]
    rest = [{**r, "rest": r["step"] - sum(r[name] for name in PARTS)} for r in rounds]
    percent = {
        name: 100 * statistics.median(r[name] / r["step"] for r in rest)
        for name in (*PARTS, "rest")
    }
    overhead = 100 * statistics.median((r["batches"] + r["rest"]) / r["step"] for r in rest)
    columns = "  ".join(f"{name} {share:4.1f} %" for name, share in percent.items())
    step = 1e3 * statistics.median(r["step"] for r in rounds)
    return f"{mechanism:18s} {step:7.1f} ms  {columns}  = overhead {overhead:4.1f} %"


def trace(loop: TrainingLoop, file: Path) -> None:
    with torch.profiler.profile() as profile, parts(loop, named):
        loop.run(loop.step + 3)
    profile.export_chrome_trace(str(file))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("task", nargs="?", default="listops-mini")
    parser.add_argument("scale", nargs="?", default="smoke")
    parser.add_argument("steps", nargs="?", type=int, default=100)
    parser.add_argument("--mechanisms", nargs="+", default=list(FEW))
    parser.add_argument("--trace", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for mechanism in asked.mechanisms:
        loop = make_loop(mechanism, asked.task, asked.scale)
        loop.run(WARM_UP_STEPS)
        print(report(mechanism, loop, asked.steps), flush=True)
        if asked.trace:
            trace(loop, asked.trace.with_stem(f"{asked.trace.stem}-{mechanism}"))


if __name__ == "__main__":
    main()
