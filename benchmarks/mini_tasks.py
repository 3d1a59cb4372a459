"""Do the mini tasks separate good from bad mechanisms, in every seed and soon enough?

    python benchmarks/mini_tasks.py [--seeds N] [--workers N] [--mechanisms NAME ...] [TASK ...]

Trains reference mechanisms on each task with its smoke recipe, in child processes and without the
sandbox, one thread each. Prints the validation accuracy and the rank of each reference
in each seed, and the largest set of references that come in the same order in all of them. Splits
that are read from files have to be prepared first: `lra-design data prepare TASK --source PATH`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations, pairwise

from mechanisms import FEW, REFERENCES

MINI_TASKS = ("listops-mini", "text-mini", "image-mini", "pathfinder-mini")


@dataclass(frozen=True)
class Outcome:
    accuracy: float
    wall_seconds: float
    """Of the training alone."""
    cpu_seconds: float


def train(task_id: str, mechanism: str, seed: int) -> Outcome:
    """What a reference reaches with one seed."""
    import torch

    from agent_sandbox.candidate import load_mechanism
    from mechanisms import reference_source
    from tasks.registry import get_task
    from trainers.accuracy import labelled_split, measure_accuracy
    from trainers.batches import evaluation_batches
    from trainers.host import Host
    from trainers.job import task_shape
    from trainers.loop import TrainingLoop
    from trainers.recipes import get_recipe
    from trainers.training import EVALUATION_TOKENS

    torch.set_num_threads(1)
    task, recipe = get_task(task_id), get_recipe(task_id, "smoke")
    torch.manual_seed(seed)
    network = Host(load_mechanism(reference_source(mechanism)), {}, recipe.host, task_shape(task))
    split = labelled_split(task, "train")
    loop = TrainingLoop(network, split.sequences, split.labels, recipe.train, seed)
    wall, cpu = time.perf_counter(), time.process_time()
    loop.run(recipe.train.num_steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    held_out = labelled_split(task, "validation")
    batches = evaluation_batches(held_out.sequences, EVALUATION_TOKENS)
    network.eval()
    with torch.no_grad():
        score = measure_accuracy(
            held_out,
            "validation",
            batches,
            lambda batch: network(batch.tokens_BL, batch.key_padding_mask_BL),
        )
    return Outcome(score.accuracy, wall, cpu)


def same_order(accuracies: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """The largest set of mechanisms that come in one order in all seeds, best first.

    Of several as large, the one whose neighbours are farthest apart in their closest seed.
    """
    names = sorted(accuracies, key=lambda name: -statistics.mean(accuracies[name]))
    chains = [
        chain
        for size in range(1, len(names) + 1)
        for chain in combinations(names, size)
        if _margin(accuracies, chain) > 0
    ]
    return max(chains, key=lambda chain: (len(chain), _margin(accuracies, chain)))


def _margin(accuracies: Mapping[str, Sequence[float]], chain: Sequence[str]) -> float:
    """The least lead, over neighbours and seeds, of a mechanism over the next in the chain."""
    leads = [
        better - worse
        for name, following in pairwise(chain)
        for better, worse in zip(accuracies[name], accuracies[following], strict=True)
    ]
    return min(leads, default=1.0)


def ranks(accuracies: Mapping[str, Sequence[float]]) -> dict[str, list[int]]:
    """By mechanism, its rank in each seed: 1 and how many are better."""
    by_seed = list(zip(*accuracies.values(), strict=True))
    return {
        name: [1 + sum(a > mine for a in others) for mine, others in zip(own, by_seed, strict=True)]
        for name, own in accuracies.items()
    }


def report(task_id: str, outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    accuracies = {name: [o.accuracy for o in found] for name, found in outcomes.items()}
    rank_of = ranks(accuracies)
    print(f"\n{task_id}: validation accuracy in %, (rank), by seed")
    for name, found in outcomes.items():
        cells = "  ".join(
            f"{100 * outcome.accuracy:5.1f} ({rank})"
            for outcome, rank in zip(found, rank_of[name], strict=True)
        )
        wall = statistics.median(outcome.wall_seconds for outcome in found)
        cpu = statistics.median(outcome.cpu_seconds for outcome in found)
        mean = statistics.mean(accuracies[name])
        print(f"  {name:17s}{cells}   mean {100 * mean:5.1f}   {wall:5.1f} s, {cpu:5.1f} s of CPU")
    chain = same_order(accuracies)
    verdict = "separates" if len(chain) >= 3 else "does not separate"
    print(
        f"  {verdict}: {' > '.join(chain)} in all seeds, "
        f"by {100 * _margin(accuracies, chain):.1f} points at least"
    )
    seconds = sorted(statistics.median(o.cpu_seconds for o in outcomes[name]) for name in chain)
    print(f"  one seed of the slowest three: {sum(seconds[-3:]) / 60:.1f} minutes of CPU")


def main(
    task_ids: Sequence[str], mechanisms: Sequence[str], num_seeds: int, num_workers: int
) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, mp_context=context) as pool:
        for task_id in task_ids:
            jobs = [(name, seed) for seed in range(num_seeds) for name in mechanisms]
            outcomes: dict[str, list[Outcome]] = {name: [] for name in mechanisms}
            found = pool.map(train, [task_id] * len(jobs), *zip(*jobs, strict=True))
            for (name, seed), outcome in zip(jobs, found, strict=True):
                outcomes[name].append(outcome)
                print(f"{task_id} {name} seed {seed}: {100 * outcome.accuracy:.1f} %", flush=True)
            report(task_id, outcomes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("tasks", nargs="*", default=MINI_TASKS)
    parser.add_argument("--mechanisms", nargs="+", choices=REFERENCES, default=FEW)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.tasks, arguments.mechanisms, arguments.seeds, arguments.workers)
