"""The trainings of `lra-design reproduce`, by an executor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboards.store import Store
from lra_design.cli.display import Display, Stage
from lra_design.cli.preparing import generate_shown
from lra_design.records import Level, Run, from_json
from tasks.registry import get_task
from trainers.executors import Assignment, Executor, State, TrainSpec, read_progress, run_jobs
from trainers.executors.folder import SCORED
from trainers.executors.protocol import training
from trainers.job import Job, run_id
from trainers.training import OnProgress


def train_all(
    jobs: Sequence[Job], folder: Path, store: Store, executor: Executor, level: Level
) -> list[State]:
    """Train and score jobs, each in a folder of its own in `folder`; how each ended.

    They begin in this order; one that fails stops no other. The store gets each record as soon as
    it is there.
    """
    display = Display()
    with display.showing():
        for task in dict.fromkeys(job.task for job in jobs):
            generate_shown(get_task(task), display)
        assignments = [training(job, level, folder / run_id(job)[:16], score=True) for job in jobs]
        total = sum(job.train.num_steps for job in jobs)
        with display.stage(f"{len(jobs)} trainings", total) as stage:
            followed = _Followed(store, display, stage)
            return run_jobs(executor, assignments, followed.change, followed.show)


class _Followed:
    """What is known of the jobs as they go, and where it is said."""

    def __init__(self, store: Store, display: Display, stage: Stage) -> None:
        self._store = store
        self._display = display
        self._stage = stage
        self._running: dict[Path, OnProgress] = {}

    def change(self, assignment: Assignment, ticket: str, state: State) -> None:
        """A job stands otherwise than before; a new record goes into the store."""
        assert isinstance(assignment.spec, TrainSpec), "only trainings are submitted here"
        job, folder = assignment.spec.job, assignment.folder
        label = f"{job.name} on {job.task}, seed {job.seed}"
        if state.name == "running":
            self._running[folder] = self._stage.watch(label)
        if state.is_final:
            self._running.pop(folder, None)
            self._stage.complete(label, job.train.num_steps)
            self._display.say(f"{label}: {self._outcome(state, folder)}")

    def show(self) -> None:
        """How far the running ones are."""
        for folder, watch in self._running.items():
            if progress := read_progress(folder):
                watch(progress)

    def _outcome(self, state: State, folder: Path) -> str:
        if state.name != "done":
            return f"{state.name}, {state.why}. See {folder}"
        scored = from_json(Run, (folder / SCORED).read_bytes())
        self._store.append(scored)
        scores = [score for score in (scored.validation, scored.test) if score]
        return ", ".join(f"{score.split} {100 * score.accuracy:.1f} %" for score in scores)
