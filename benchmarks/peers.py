"""Samples per second of our training loop against those of the peers, in one run.

    python benchmarks/peers.py [MECHANISM ...] [--task TASK] [--scale SCALE] [--rounds ROUNDS]
    python benchmarks/peers.py --published            # with dropout, as both sides' recipes have it
    python benchmarks/peers.py --checkout FOLDER      # the code of mlpen/Nystromformer itself

Softmax and linear attention are trained against the loop and the arithmetic of mlpen/Nystromformer
(every example padded to a power of two, all scores in memory), S4D against those of state-spaces/s4
(padded to the longest of the batch, the whole Vandermonde matrix): `peer_loops.py`,
`peer_mechanisms.py`. Network, weights, batches, bidirectional mixing and number of updates are the
same on both sides, which take turns, without dropout; that the losses are the same is checked, but
with dropout. `--padded` adds our own mechanism in the same padded loop, which tells what of the
difference is padding. CPU time of one thread, medians over the rounds.

The lengths are those of the task where it is prepared, the same for all where it is of pictures,
else those of movie reviews, drawn: log-normal, as the 25,000 training reviews are, with the mean
6.97 and the deviation 0.66 of their logarithms. The tokens are random; no speed depends on them.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from pathlib import Path
from typing import Protocol

import torch
from peer_loops import PEERS, CheckoutLoop, PeerLoop
from torch import Tensor

from lra_design.errors import DataError, UsageError
from mechanisms.linear import LinearAttention
from mechanisms.s4d import S4D
from mechanisms.softmax import SoftmaxAttention
from tasks.registry import get_task
from tasks.task import Task
from trainers.accuracy import labelled_split
from trainers.batches import Sequences, TrainingOrder
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.micro_batches import CALL_TOKENS, micro_batches
from trainers.recipes import Recipe, get_recipe

OURS = {"softmax": SoftmaxAttention, "linear": LinearAttention, "s4d": S4D}
THEIRS = ("softmax", "linear")
"""Of which mlpen/Nystromformer has code."""
PICTURES = ("image", "pathfinder", "pathx")
"""Whose examples all have one length."""
NUM_EXAMPLES = 4096


class Loop(Protocol):
    """What can train up to a step."""

    def run(self, until: int) -> object: ...


def some_lengths(task: Task) -> tuple[Tensor, str]:
    """(n,) lengths of sequences as they are trained on, and where they are from."""
    count = NUM_EXAMPLES * task.documents
    if task.id.startswith(PICTURES):
        return torch.full((count,), task.max_seq_len), "all the same"
    try:
        return labelled_split(task, "train").sequences.lengths[:count], f"of {task.id}"
    except DataError:
        drawn = torch.exp(6.97 + 0.66 * torch.randn(count, generator=torch.manual_seed(0)))
        return drawn.long().clamp(52, task.max_seq_len), "drawn: the task is not prepared"


def make_loop(mechanism: str, task: Task, recipe: Recipe, lengths: Tensor) -> TrainingLoop:
    """Our loop at its first step, on random tokens of these lengths."""
    torch.manual_seed(0)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    most = min(256, len(task.vocabulary) - task.first_id)
    tokens = torch.randint(0, most, (int(offsets[-1]),), dtype=torch.uint8)
    sequences = Sequences(tokens, offsets, task.first_id, task.documents)
    labels = torch.randint(0, task.num_classes, (len(sequences),), dtype=torch.int16)
    network = Host(OURS[mechanism], {}, recipe.host, task_shape(task))
    return TrainingLoop(network, sequences, labels, recipe.train, seed=0)


def timed(loop: Loop, until: int) -> tuple[float, float]:
    """CPU seconds of one step, and its loss."""
    began = time.process_time()
    losses = loop.run(until)
    seconds = time.process_time() - began
    return seconds, float(torch.as_tensor(losses).flatten()[0])


def measure(loops: dict[str, Loop], num_rounds: int, *, alike: bool) -> dict[str, float]:
    """Median CPU seconds of a step of each, which take turns. alike: their losses must agree."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for step in range(1, num_rounds + 1):
        losses = []
        for name, loop in loops.items():
            seconds, loss = timed(loop, step)
            times[name].append(seconds)
            losses.append(loss)
        assert not alike or max(losses) - min(losses) < 1e-4, f"not the same mathematics: {losses}"
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def compare(mechanism: str, task: Task, recipe: Recipe, lengths: Tensor, options: Options) -> str:
    """One line: samples per second of all loops, and how many times ours is the others'."""
    ours = make_loop(mechanism, task, recipe, lengths)
    loops: dict[str, Loop] = {"ours": ours}
    if options.checkout:
        loops["theirs"] = CheckoutLoop(options.checkout, mechanism, ours, task)
    else:
        peer = PEERS[mechanism]
        loops["peer"] = PeerLoop(peer, ours, published=options.published)
        if options.padded:
            own = dataclasses.replace(peer, mechanism=OURS[mechanism], keeps_scores=False)
            loops["padded"] = PeerLoop(own, ours, published=False)
    alike = not options.published and not options.checkout
    seconds = measure(loops, options.rounds, alike=alike)
    rates = {name: recipe.train.batch_size / taken for name, taken in seconds.items()}
    line = f"{mechanism:8s} ours {rates['ours']:7.2f}/s"
    for name in list(rates)[1:]:
        line += f"   {name} {rates[name]:7.2f}/s, {rates['ours'] / rates[name]:5.2f} times"
    return line


def computed_share(lengths: Tensor, task: Task, recipe: Recipe) -> float:
    """Computed tokens by real ones, over an epoch."""
    longest = lengths.view(-1, task.documents).amax(1)
    order = TrainingOrder(longest, recipe.train.batch_size, 0, recipe.train.order)
    computed = real = 0
    for step in range(len(longest) // recipe.train.batch_size):
        index = order.index(step)
        parts = micro_batches(longest[index] * task.documents, CALL_TOKENS["cpu"])
        computed += sum(len(p) * int(longest[index[p]].max()) * task.documents for p in parts)
        real += int(lengths.view(-1, task.documents)[index].sum())
    return computed / real


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line says."""

    mechanisms: list[str]
    task: str
    scale: str
    rounds: int
    batch_size: int | None
    padded: bool
    published: bool
    checkout: Path | None


def parse() -> Options:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mechanisms", nargs="*", metavar="MECHANISM", help=", ".join(OURS))
    parser.add_argument("--task", default="text-v1")
    parser.add_argument("--scale", default="small")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, help="another one than the recipe's")
    parser.add_argument("--padded", action="store_true", help="ours in their loop as well")
    parser.add_argument("--published", action="store_true", help="with dropout")
    parser.add_argument("--checkout", type=Path, help="a copy of mlpen/Nystromformer")
    options = Options(**vars(parser.parse_args()))
    try:
        get_recipe(options.task, options.scale)
    except UsageError as error:
        parser.error(str(error))
    known = THEIRS if options.checkout else tuple(OURS)
    if unknown := set(options.mechanisms) - set(known):
        parser.error(f"expected of {', '.join(known)}, found {', '.join(sorted(unknown))}")
    if options.checkout and not (options.checkout / "LRA/code/model_wrapper.py").is_file():
        parser.error(f"no copy of mlpen/Nystromformer in {options.checkout}: clone it there")
    if min(options.rounds, options.batch_size or 1) < 1:
        parser.error("--rounds and --batch-size must be at least 1")
    return dataclasses.replace(options, mechanisms=options.mechanisms or list(known))


def chosen_recipe(options: Options) -> Recipe:
    """The task's recipe, bidirectional; with dropout where that is asked for."""
    host, train = get_recipe(options.task, options.scale)
    dropout = host.dropout if options.published or options.checkout else 0.0
    size = options.batch_size or train.batch_size
    return Recipe(
        dataclasses.replace(host, causal=False, dropout=dropout),
        dataclasses.replace(train, batch_size=size),
    )


def main(options: Options) -> None:
    torch.set_num_threads(1)
    task, recipe = get_task(options.task), chosen_recipe(options)
    lengths, origin = some_lengths(task)
    print(
        f"{task.id} {options.scale}: {len(lengths)} lengths ({origin}), "
        f"mean {lengths.double().mean():.0f}, batches of {recipe.train.batch_size}; computed "
        f"tokens {computed_share(lengths, task, recipe):.2f} times the real ones; "
        f"{options.rounds} updates each",
        flush=True,
    )
    for mechanism in options.mechanisms:
        print(compare(mechanism, task, recipe, lengths, options), flush=True)


if __name__ == "__main__":
    main(parse())
