"""What a job is, how it may stand, and what an executor does.

A job is a spec, which serialises to JSON, and a folder that everybody concerned can reach. All that
comes of it is read from that folder; what a process prints or returns means nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from lra_design.records import Finding, Level, record
from lra_design.versions import current_versions
from trainers.job import Job, run_id


@record
class TrainSpec:
    """Train a job to its end; score it on the test split, too, when that is asked for."""

    verb: Literal["train"] = "train"
    job: Job
    level: Level
    """The isolation, which the job opens where it runs; where it cannot, the job fails."""
    run_id: str
    """As the one who asks computes it: a machine with other data or versions refuses."""
    score: bool = False


@record
class WorkSpec:
    """Work on a study until it has no trial to begin: see `trainers.tuning.study.Search`."""

    verb: Literal["work"] = "work"
    job: Job
    level: Level
    run_id: str
    study_folder: str
    """Absolute; the trainings lie there, and the study itself unless `storage` is given."""
    num_trials: int
    max_seconds: float | None = None
    storage: str | None = None


@record
class CommandSpec:
    """Run a command of `lra-design` that keeps what it has finished, and goes on when it is run
    again."""

    verb: Literal["command"] = "command"
    arguments: tuple[str, ...]
    """The sub-command and its options."""
    working_folder: str
    """Absolute; what the arguments name by relative paths lies there."""
    result: str
    """The file, by its path in the folder of the job, that is there once the command has ended."""
    run_id: str
    """SHA-256 of the arguments and of what computes here."""


Spec = TrainSpec | WorkSpec | CommandSpec


def title(spec: Spec) -> str:
    """What a job is, for people."""
    if isinstance(spec, CommandSpec):
        return f"lra-design {' '.join(spec.arguments)}"
    return f"{spec.job.name} on {spec.job.task}"


@dataclass(frozen=True)
class Assignment:
    """A job: what is asked, and the folder that is its identity."""

    spec: Spec
    folder: Path


def training(job: Job, level: Level, folder: Path, *, score: bool = False) -> Assignment:
    """The assignment of one training; `folder` is its own. Makes generated splits when needed."""
    spec = TrainSpec(job=job, level=level, run_id=run_id(job), score=score)
    return Assignment(spec, folder.resolve())


def command(
    arguments: Sequence[str], folder: Path, *, working_folder: Path, result: str
) -> Assignment:
    """The assignment of a command of `lra-design`; see `CommandSpec`. `folder` is its own."""
    spec = CommandSpec(
        arguments=tuple(arguments),
        working_folder=str(working_folder.resolve()),
        result=result,
        run_id=command_id(arguments),
    )
    return Assignment(spec, folder.resolve())


def command_id(arguments: Sequence[str]) -> str:
    """SHA-256 of a command and of the versions that run it here."""
    asked = [list(arguments), asdict(current_versions())]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


@record
class State:
    """How a job stands."""

    name: Literal["queued", "running", "done", "failed", "lost"]
    """`done`: what was asked lies in its folder. `failed`: it would fail again. `lost`: its process
    or its machine is gone without a word; submitted again, it goes on from its checkpoint."""
    why: str = ""
    error: Literal["candidate", "usage", "harness"] | None = None
    """Who is at fault for a failure."""
    findings: tuple[Finding, ...] = ()
    """What speaks against the candidate, where it is at fault."""

    @property
    def is_final(self) -> bool:
        """Whether nothing more comes of it by itself."""
        return self.name in ("done", "failed", "lost")


QUEUED, RUNNING, DONE = State(name="queued"), State(name="running"), State(name="done")


class Executor(Protocol):
    """Runs jobs somewhere. Every submission has a ticket of its own, by which it is known."""

    def submit(self, assignment: Assignment) -> str:
        """Have the job run as soon as there is room; the ticket of this submission.

        A job whose folder has what is asked is done at once, one that was interrupted goes on. Of
        two submissions at a time one waits for the other. Raises UsageError when the folder is that
        of another job, HarnessError when it cannot be submitted.
        """

    def poll(self, ticket: str) -> State:
        """How the submission stands. Raises HarnessError when that cannot be known."""

    def cancel(self, ticket: str) -> None:
        """End it wherever it is; one that has ended is left as it is."""

    def close(self) -> None:
        """Cancel all that has not ended and let go of what the executor holds; again: nothing."""
