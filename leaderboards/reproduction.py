"""Published results trained again: what is to be trained, in which order, and what already was.

References are trained as the published encoders were: bidirectional, by the recipe of the task as
it stands. A training whose record is there is not repeated, whoever made it and wherever. Records
that were given back to the project lie in `reproduced/`: a store like any other, whose records lack
the sources, which are those of `mechanisms/`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent_sandbox.candidate import source_hash
from leaderboards.measured import measured
from leaderboards.store import Store
from lra_design.errors import UsageError, unknown_name
from lra_design.records import Device, Run, Scalar, record
from mechanisms import REFERENCES, reference_source
from tasks.registry import get_task
from tasks.splits.storage import describe_split, is_prepared
from tasks.task import SPLIT_NAMES, Task
from trainers.job import Job
from trainers.recipes import get_recipe

ReproductionScale = Literal["smoke", "small"]
MECHANISMS = ("softmax", "linear", "nystromformer", "performer", "s4d", "mega")
TASKS: dict[ReproductionScale, tuple[str, ...]] = {
    "smoke": ("listops-mini", "text-mini", "image-mini", "pathfinder-mini"),
    "small": ("listops-v1", "text-v1", "retrieval-v1", "image-v1", "pathfinder32-v1"),
}
STAND_INS = {"retrieval-v1": "retrieval-imdb-v1"}
"""Task to the one that is trained where nobody named tasks and the first one's data is not here."""
HYPERPARAMETERS: dict[tuple[ReproductionScale, str], dict[str, Scalar]] = {
    ("smoke", "mega"): {"ema_size": 4}
}
"""By scale and mechanism, where the defaults will not do: at scale smoke Mega's two averages, one
for each direction, take the network over the parameter cap (1.10 to 1.12 times softmax)."""
NUM_SEEDS: dict[ReproductionScale, int] = {"smoke": 5, "small": 1}
RECORDS = Path(__file__).with_name("reproduced")
"""The records that the project has been given back."""
TOKENS_PER_HOUR = 50_000 * 32 * 4_000 / 4.3
"""Skyformer's paper, table 2: softmax attention trains 50,000 steps of 32 texts of 4,000 tokens in
4.3 hours, in the network of scale `small` on one V100. Ours was not measured on a GPU."""


@record
class Selection:
    """What is to be reproduced."""

    tasks: tuple[str, ...]
    mechanisms: tuple[str, ...]
    scale: ReproductionScale
    num_seeds: int
    """Seeds 0 to `num_seeds` - 1."""


def select(
    tasks: Sequence[str], mechanisms: Sequence[str], scale: ReproductionScale, num_seeds: int | None
) -> Selection:
    """The selection that these names make; where none are given, what the project reproduces.

    Raises UsageError for a task or a mechanism that there is not, that has no recipe at the scale
    or cannot look both ways.
    """
    for task in tasks:
        get_recipe(get_task(task).id, scale)
    for name in mechanisms:
        _require_bidirectional(name)
    return Selection(
        tasks=tuple(dict.fromkeys(tasks)) or _default_tasks(scale),
        mechanisms=tuple(dict.fromkeys(mechanisms)) or MECHANISMS,
        scale=scale,
        num_seeds=num_seeds or NUM_SEEDS[scale],
    )


def _default_tasks(scale: ReproductionScale) -> tuple[str, ...]:
    return tuple(
        task if is_here(get_task(task)) else STAND_INS.get(task, task) for task in TASKS[scale]
    )


def _require_bidirectional(name: str) -> None:
    if name not in REFERENCES:
        raise unknown_name("mechanism", name, REFERENCES)
    found = measured().get(name)
    if found and all(certificate.mode == "causal" for certificate in found.certificates):
        raise UsageError(
            f"'{name}' is causal only, and the published encoders look both ways. "
            f"Name others: {', '.join(MECHANISMS)}."
        )


def is_here(task: Task) -> bool:
    """Whether a task can be trained on this machine: generated, or prepared from its files."""
    stored = task.splits_of or task
    return stored.draw is not None or all(is_prepared(stored, split) for split in SPLIT_NAMES)


def max_tokens(task: str, scale: ReproductionScale) -> int:
    """How many tokens one training sees at most: steps x batch x the longest example."""
    train, found = get_recipe(task, scale).train, get_task(task)
    return train.num_steps * train.batch_size * found.documents * found.max_seq_len


def make_job(
    mechanism: str, task: str, scale: ReproductionScale, seed: int, device: Device = "cpu"
) -> Job:
    """The training of a reference by the recipe as it stands, looking both ways."""
    recipe = get_recipe(task, scale)
    return Job(
        name=mechanism,
        origin="reference",
        agent=None,
        source=reference_source(mechanism),
        task=task,
        scale=scale,
        setting="fixed",
        host=dataclasses.replace(recipe.host, causal=False),
        train=recipe.train,
        hyperparameters=dict(HYPERPARAMETERS.get((scale, mechanism), {})),
        seed=seed,
        device=device,
    )


def reproduces(run: Run, job: Job) -> bool:
    """Whether a record is of this very training, on this task's data, and scored.

    The versions of Python, PyTorch and the benchmark may be others, the device too, and the seeds
    of held-out splits that are secret; a task from files is the same when its test split is.
    """
    test = run.test
    return (
        test is not None
        and (run.source_hash, run.task) == (source_hash(job.source.encode()), job.task)
        and (run.setting, run.mode, run.seed) == ("fixed", "bidirectional", job.seed)
        and (run.host, run.train) == (job.host, job.train)
        and run.hyperparameters == job.hyperparameters
        and _same_data(get_task(job.task), test.split_hash)
    )


def _same_data(task: Task, test_hash: str) -> bool:
    stored = task.splits_of or task
    if stored.draw or not is_prepared(stored, "test"):
        return True
    return describe_split(stored, "test").sha256 == test_hash


@dataclass(frozen=True)
class Line:
    """One mechanism on one task: a line of the plan and of the table."""

    task: str
    mechanism: str
    scale: ReproductionScale
    num_seeds: int
    """How many were asked for."""
    num_tokens: int
    """Of one training, at most."""
    runs: tuple[Run, ...]
    """What was trained and scored, seeds ascending; more than were asked for where there are."""
    to_do: tuple[Job, ...]
    num_stale: int
    """Records of a recipe or a source that is not today's, or of other data: they do not count."""
    is_here: bool
    """Whether the data of the task is; without it nothing can be done."""

    @property
    def hours(self) -> float | None:
        """Of what is left to do on a V100, as a guess; None at scale smoke, which is for CPUs."""
        if self.scale == "smoke":
            return None
        return len(self.to_do) * self.num_tokens / TOKENS_PER_HOUR

    @property
    def command(self) -> str:
        """What does this line alone."""
        return (
            f"lra-design reproduce {self.task} --mechanisms {self.mechanism} "
            f"--scale {self.scale} --seeds {self.num_seeds}"
        )


def make_plan(selection: Selection, runs: Iterable[Run], device: Device = "cpu") -> list[Line]:
    """A line for each mechanism and task, smallest first; `runs` are the records there are.

    device: what is to be trained is trained on it.
    """
    known = list(runs)
    lines = [
        _line(selection, task, mechanism, known, device)
        for task in selection.tasks
        for mechanism in selection.mechanisms
    ]
    return sorted(lines, key=lambda line: line.num_tokens)


def _line(
    selection: Selection, task: str, mechanism: str, known: Sequence[Run], device: Device
) -> Line:
    def job(seed: int) -> Job:
        return make_job(mechanism, task, selection.scale, seed, device)

    key = (mechanism, "reference", task, selection.scale)
    related = [run for run in known if (run.name, run.origin, run.task, run.scale) == key]
    valid = [run for run in related if reproduces(run, job(run.seed))]
    by_seed = {run.seed: run for run in reversed(valid)}  # of several the first counts
    return Line(
        task=task,
        mechanism=mechanism,
        scale=selection.scale,
        num_seeds=selection.num_seeds,
        num_tokens=max_tokens(task, selection.scale),
        runs=tuple(by_seed[seed] for seed in sorted(by_seed)),
        to_do=tuple(job(seed) for seed in range(selection.num_seeds) if seed not in by_seed),
        num_stale=len(related) - len(valid),
        is_here=is_here(get_task(task)),
    )


def jobs_in_order(plan: Iterable[Line]) -> list[Job]:
    """What is left to train where the data is here: each seed of all lines before the next seed."""
    jobs = [job for line in plan if line.is_here for job in line.to_do]
    return sorted(jobs, key=lambda job: job.seed)


def give_back(runs: Iterable[Run], store: Store) -> int:
    """Add records to a store for the project, without the sources; how many it did not have.

    What a candidate reached, what has no test score, what ran unsafely, and what is not of today's
    recipe and source stays where it is.
    """
    have = {run.run_id for run in store.runs()}
    new = [run for run in runs if run.run_id not in have and _may_be_given(run)]
    return sum(store.append(dataclasses.replace(run, source="")) for run in new)


def _may_be_given(run: Run) -> bool:
    if run.origin != "reference" or run.isolation.level == "unsafe" or run.scale == "full":
        return False
    return reproduces(run, make_job(run.name, run.task, run.scale, run.seed))
