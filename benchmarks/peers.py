"""Samples per second of our training loop against one that pads every example to the longest.

    python benchmarks/peers.py [ROUNDS] [MECHANISM ...]

The padded loop does what the one of mlpen/Nystromformer does (LRA/code): random batches, every
example padded to the task's length, a mask, one forward and backward of the whole batch, AdamW, and
the loss read after every update. Network, weights, batches and number of updates are the same on
both sides, which take turns, without dropout; losses are compared. CPU time of one thread, medians
over the rounds.

The lengths are those of text-v1 where it is prepared (`lra-design data prepare text-v1`), else
drawn: log-normal, as the 25,000 training reviews are, with the mean 6.97 and the deviation 0.66 of
their logarithms. The tokens are random; no speed depends on them.
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from agent_sandbox.candidate import load_mechanism
from lra_design.errors import DataError
from mechanisms import reference_source
from tasks.registry import get_task
from trainers.accuracy import labelled_split
from trainers.batches import Sequences, TrainingOrder, gather
from trainers.host import Host
from trainers.job import task_shape
from trainers.loop import TrainingLoop
from trainers.micro_batches import CALL_TOKENS, micro_batches
from trainers.optimizer import make_optimizer, set_learning_rate
from trainers.recipes import get_recipe

TASK, SCALE = "text-v1", "small"
DEFAULT = ("softmax", "linear", "s4d")


class PaddedLoop:
    """The loop of the peers around the same network."""

    def __init__(self, ours: TrainingLoop) -> None:
        self.network = copy.deepcopy(ours.network)
        self.step = 0
        self._config = ours._config
        self._sequences, self._labels = ours.feed.sequences, ours.feed.labels
        self._order = TrainingOrder(
            self._sequences.longest, self._config.batch_size, 0, self._config.order
        )
        self._parameters = list(self.network.parameters())
        self._optimizer = make_optimizer(self._parameters, self._config)

    def run(self, until: int) -> list[float]:
        """Train up to step `until`; the losses."""
        losses = []
        while self.step < until:
            losses.append(self._train_step())
            self.step += 1
        return losses

    def _train_step(self) -> float:
        set_learning_rate(self._optimizer, self.step, self._config)
        batch = gather(self._sequences, self._order.index(self.step))
        missing = self.network.shape.max_seq_len - batch.tokens_BL.shape[1]
        mask_BL = batch.key_padding_mask_BL
        if mask_BL is None:
            mask_BL = torch.zeros_like(batch.tokens_BL, dtype=torch.bool)
        tokens_BL = F.pad(batch.tokens_BL, (0, missing))
        logits = self.network(tokens_BL, F.pad(mask_BL, (0, missing), value=True))
        loss = F.cross_entropy(logits, self._labels[batch.index].long())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
        self._optimizer.step()
        return loss.item()


def review_lengths() -> tuple[Tensor, str]:
    """(n,) lengths in bytes as they are trained on, and where they are from."""
    longest = get_task(TASK).max_seq_len
    try:
        return labelled_split(get_task(TASK), "train").sequences.lengths, f"real, of {TASK}"
    except DataError:
        drawn = torch.exp(6.97 + 0.66 * torch.randn(25_000, generator=torch.manual_seed(0)))
        return drawn.long().clamp(52, longest), "drawn: the task is not prepared"


def make_loop(mechanism: str, lengths: Tensor) -> TrainingLoop:
    """Our loop at its first step, on random tokens of these lengths."""
    task, recipe = get_task(TASK), get_recipe(TASK, SCALE)
    torch.manual_seed(0)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    tokens = torch.randint(0, 90, (int(offsets[-1]),), dtype=torch.uint8)
    labels = torch.randint(0, 2, (len(lengths),), dtype=torch.int16)
    host = dataclasses.replace(recipe.host, dropout=0.0)
    network = Host(load_mechanism(reference_source(mechanism)), {}, host, task_shape(task))
    train = dataclasses.replace(recipe.train, order="random")
    return TrainingLoop(network, Sequences(tokens, offsets, task.first_id), labels, train, seed=0)


def timed(run: Callable[[int], object], until: int) -> tuple[float, float]:
    """CPU seconds of one step, and its loss."""
    began = time.process_time()
    losses = run(until)
    seconds = time.process_time() - began
    return seconds, float(torch.as_tensor(losses).flatten()[0])


def compare(mechanism: str, lengths: Tensor, num_rounds: int) -> str:
    """One line: samples per second of both loops, and how many times ours is the other's."""
    ours = make_loop(mechanism, lengths)
    padded = PaddedLoop(ours)
    times: dict[str, list[float]] = {"ours": [], "padded": []}
    for step in range(1, num_rounds + 1):
        mine, own_loss = timed(ours.run, step)
        theirs, loss = timed(padded.run, step)
        assert abs(own_loss - loss) < 1e-3, f"not the same mathematics: {own_loss} and {loss}"
        times["ours"].append(mine)
        times["padded"].append(theirs)
    size = ours._config.batch_size
    rates = {name: size / statistics.median(seconds) for name, seconds in times.items()}
    return (
        f"{mechanism:10s} ours {rates['ours']:7.1f}/s   padded {rates['padded']:7.1f}/s   "
        f"{rates['ours'] / rates['padded']:5.1f} times"
    )


def computed_share(lengths: Tensor) -> float:
    """Computed tokens by real ones, over an epoch."""
    config = get_recipe(TASK, SCALE).train
    order = TrainingOrder(lengths, config.batch_size, 0, "random")
    batches = [lengths[order.index(step)] for step in range(len(lengths) // config.batch_size)]
    computed = 0
    for batch in batches:
        parts = micro_batches(batch, CALL_TOKENS["cpu"])
        computed += sum(len(part) * int(batch[part].max()) for part in parts)
    return computed / sum(int(batch.sum()) for batch in batches)


def main(num_rounds: int, mechanisms: list[str]) -> None:
    torch.set_num_threads(1)
    lengths, origin = review_lengths()
    print(
        f"{len(lengths)} lengths ({origin}), mean {lengths.double().mean():.0f}, batches of",
        end=" ",
    )
    print(f"{get_recipe(TASK, SCALE).train.batch_size}; computed tokens", end=" ")
    print(
        f"{computed_share(lengths):.2f} times the real ones; {num_rounds} updates each", flush=True
    )
    for mechanism in mechanisms:
        print(compare(mechanism, lengths, num_rounds), flush=True)


if __name__ == "__main__":
    main(
        num_rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5,
        mechanisms=sys.argv[2:] or list(DEFAULT),
    )
