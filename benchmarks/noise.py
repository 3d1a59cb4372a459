"""How much of an accuracy is chance, and how far a short training tells what a full one would.

    python benchmarks/noise.py TASK [--scale SCALE] [--mode MODE] [--mechanisms NAME ...]
        [--shares 0.1 0.3 1] [--seeds 3] [--here] [--crossed N] [--test]

Trains references on a task with several seeds and in several shares of the recipe's steps, each in
its sandbox as `lra-design train` does it. --here: in this process instead, which reaches the very
same numbers in a third of the time. --crossed: also every pair of N seeds of the initial weights
and N of the order of the data, in full and here, because a run has one seed for both; and the first
pair once more, to see that it reaches what the run reached, as it does on a CPU. --test: lets the
referee score the full trainings of the sandbox.

Each line of `leaderboards/repeats.jsonl` grows training by training, so that an interrupted call
goes on where it stopped and one with more seeds trains only those. `lra-design noise` and
`lra-design proxy` say what the lines come to.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch

from agent_sandbox.candidate import load_mechanism, source_hash
from agent_sandbox.isolation import Isolation, open_isolation
from leaderboards.repeats import PATH, Conditions, Repeats, Training, read_repeats
from lra_design.files import write_atomically
from lra_design.records import Hardware, Run, to_json
from lra_design.versions import current_versions
from mechanisms import REFERENCES, reference_source
from tasks.registry import get_task
from trainers.accuracy import labelled_split, measure_accuracy
from trainers.batches import evaluation_batches
from trainers.device import hardware
from trainers.evaluator import EVALUATION_TOKENS
from trainers.fidelity import shortened
from trainers.host import Host
from trainers.job import Job, run_id, task_shape
from trainers.loop import TrainingLoop
from trainers.recipes import get_recipe
from trainers.referee import score_run
from trainers.training import train

Key = tuple[Conditions, float, str]
"""What makes a line of the file one of its own."""


def make_job(conditions: Conditions, share: float, name: str, seed: int) -> Job:
    recipe = get_recipe(conditions.task, conditions.scale)
    return Job(
        name=name,
        origin="reference",
        agent=None,
        source=reference_source(name),
        task=conditions.task,
        scale=conditions.scale,
        setting="fixed",
        host=dataclasses.replace(recipe.host, causal=conditions.mode == "causal"),
        train=shortened(recipe.train, share),
        hyperparameters={},
        seed=seed,
    )


def train_isolated(job: Job, isolation: Isolation, out: Path, *, test: bool) -> Training:
    """A training as everybody's is, and its test score when it is asked for."""
    folder = out / run_id(job)[:16]
    run = train(job, isolation, folder, lambda _: None)
    if test:
        run = score_run(run, folder, isolation)
    return _training(run)


def _training(run: Run) -> Training:
    assert run.validation is not None, "a run that has ended has a validation score"
    return Training(
        seed=run.seed,
        order_seed=run.seed,
        validation=run.validation.accuracy,
        test=run.test.accuracy if run.test else None,
        seconds=run.usage.seconds,
    )


def train_here(job: Job, order_seed: int) -> Training:
    """The same training in this process, with the order of the data that `order_seed` gives."""
    task, started = get_task(job.task), time.monotonic()
    split, held_out = labelled_split(task, "train"), labelled_split(task, "validation")
    torch.manual_seed(job.seed)
    network = Host(load_mechanism(job.source), {}, job.host, task_shape(task))
    loop = TrainingLoop(network, split.sequences, split.labels, job.train, order_seed)
    best = 0.0
    for until in evaluated_steps(job):
        loop.run(until)
        network.eval()
        with torch.no_grad():
            score = measure_accuracy(
                held_out,
                "validation",
                evaluation_batches(held_out.sequences, EVALUATION_TOKENS),
                lambda batch: network(batch.tokens_BL, batch.key_padding_mask_BL),
            )
        best = max(best, score.accuracy)
    seconds = time.monotonic() - started
    return Training(
        seed=job.seed, order_seed=order_seed, validation=best, test=None, seconds=seconds
    )


def evaluated_steps(job: Job) -> Iterator[int]:
    """After how many steps a run is evaluated."""
    every, last = job.train.evaluate_every, job.train.num_steps
    yield from range(every, last, every)
    yield last


class Lines:
    """The lines of the file, kept after each training."""

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = read_repeats(path)
        self._rows = {(row.conditions, row.share, row.mechanism): row for row in rows}

    def known(self, key: Key, seed: int, order_seed: int) -> Training | None:
        """What is there of it, measured as it would be now."""
        row = self._rows.get(key)
        if row is None or row.stale or row.versions != current_versions():
            return None
        found = (t for t in row.trainings if (t.seed, t.order_seed) == (seed, order_seed))
        return next(found, None)

    def keep(self, key: Key, training: Training, where: Hardware) -> None:
        """Add a training, in place of one of these seeds and of all that are out of date."""
        row = self._rows.get(key)
        current = row and not row.stale and row.versions == current_versions()
        known = row.trainings if row and current else ()
        seeds = (training.seed, training.order_seed)
        others = [t for t in known if (t.seed, t.order_seed) != seeds]
        trainings = sorted([*others, training], key=lambda t: (t.seed, t.order_seed))
        self._rows[key] = _row(key, trainings, where)
        text = "".join(to_json(self._rows[key]) + "\n" for key in sorted(self._rows))
        write_atomically(self._path, text.encode())


def _row(key: Key, trainings: list[Training], where: Hardware) -> Repeats:
    conditions, share, name = key
    recipe = get_recipe(conditions.task, conditions.scale)
    return Repeats(
        **conditions._asdict(),
        share=share,
        mechanism=name,
        source_hash=source_hash(reference_source(name).encode()),
        host=recipe.host,
        train=recipe.train,
        trainings=tuple(trainings),
        hardware=where,
        versions=current_versions(),
    )


def measure_repeats(asked: argparse.Namespace, conditions: Conditions, lines: Lines) -> None:
    """Seed by seed, so that what is there early has all references in it."""
    trained_in: AbstractContextManager[Isolation | None]
    trained_in = nullcontext() if asked.here or not asked.seeds else open_isolation()
    with trained_in as isolation:
        for seed, name, share in itertools.product(
            range(asked.seeds), asked.mechanisms, asked.shares
        ):
            key = (conditions, share, name)
            test = asked.test and share == 1 and isolation is not None
            known = lines.known(key, seed, seed)
            if known and (known.test is not None or not test):
                continue
            job = make_job(conditions, share, name, seed)
            if isolation is None:
                found = train_here(job, seed)
            else:
                found = train_isolated(job, isolation, asked.out, test=test)
            lines.keep(key, found, hardware(isolation.card if isolation else None))
            show(name, share, found)


def measure_crossed(asked: argparse.Namespace, conditions: Conditions, lines: Lines) -> None:
    """Every pair of seeds; the first only to see that the run reached the same."""
    seeds = range(asked.crossed)
    for name, seed, order_seed in itertools.product(asked.mechanisms, seeds, seeds):
        key = (conditions, 1.0, name)
        known = lines.known(key, seed, order_seed)
        if known and (seed, order_seed) != (0, 0):
            continue
        found = train_here(make_job(conditions, 1.0, name, seed), order_seed)
        if known is None:
            lines.keep(key, found, hardware())
        elif known.validation != found.validation:
            raise SystemExit(f"{name}: a run reached {known}, the same here {found}")
        show(name, 1.0, found)


def show(name: str, share: float, found: Training) -> None:
    test = "" if found.test is None else f", test {100 * found.test:.1f} %"
    print(
        f"{name:22s} {share:4.0%} of the steps, seeds {found.seed} {found.order_seed}: "
        f"validation {100 * found.validation:.1f} %{test}, {found.seconds:.1f} s",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("task")
    parser.add_argument("--scale", choices=["smoke", "small", "full"], default="smoke")
    parser.add_argument("--mode", choices=["causal", "bidirectional"], default="causal")
    parser.add_argument("--mechanisms", nargs="+", choices=REFERENCES, default=REFERENCES)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.1, 0.3, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--here", action="store_true", help="in this process, unsandboxed")
    parser.add_argument("--crossed", type=int, default=0)
    parser.add_argument("--test", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/noise"), help="of the trainings")
    parser.add_argument("--file", type=Path, default=PATH, help="of the lines")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    measured_under = Conditions(asked.task, asked.scale, "fixed", asked.mode)
    kept = Lines(asked.file)
    measure_repeats(asked, measured_under, kept)
    measure_crossed(asked, measured_under, kept)
