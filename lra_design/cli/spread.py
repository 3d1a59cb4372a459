"""A study on many machines: its workers and the winner's trainings are jobs of an executor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lra_design.cli.display import Display, Stage
from lra_design.records import Level, Run
from trainers.executors import (
    Assignment,
    Executor,
    State,
    TrainSpec,
    WorkSpec,
    open_executor,
    raise_failure,
    read_progress,
    run_jobs,
    training,
)
from trainers.executors.folder import new_ticket
from trainers.job import Job, run_id
from trainers.tuning.opened import OpenStudy
from trainers.tuning.reaper import RETRY_OF
from trainers.tuning.winner import add_ledger, fresh_seeds, retrained_folder, retraining

if TYPE_CHECKING:
    import optuna


class _Complete(Exception):
    """A study has all its trials."""


@contextmanager
def opened_executor(address: str, num_jobs: int) -> Iterator[Executor]:
    """The executor at `address`; all its jobs end with the block.

    Standard output is for results: what is printed meanwhile, by Ray of its nodes say, goes to
    stderr.
    """
    with redirect_stdout(sys.stderr), closing(open_executor(address, num_jobs)) as executor:
        yield executor


@dataclass(frozen=True)
class Spread:
    """Where the jobs of a study run, and where what comes of them lies."""

    executor: Executor
    level: Level
    out: Path
    display: Display

    def search(self, job: Job, study: dict[str, Any], num_workers: int) -> Run:
        """Run the trials of a study in workers side by side; the best one's run."""
        opened = OpenStudy(job, self.out, **study)
        self.display.say(f"study {opened.name}")
        spec = WorkSpec(
            job=job,
            level=self.level,
            run_id=run_id(job),
            study_folder=str(self.out.resolve()),
            **study,
        )
        folder = self.out.resolve() / "workers" / new_ticket()
        workers = [Assignment(spec, folder / str(place)) for place in range(num_workers)]
        trials = study["num_trials"]
        title = f"{trials} trials of {job.name} on {job.task}"
        with self.display.stage(title, trials * job.train.num_steps) as stage:
            self._follow(opened, workers, lambda: show_trials(stage, opened, job.train.num_steps))
        return opened.best()

    def _follow(
        self, study: OpenStudy, workers: list[Assignment], show: Callable[[], None]
    ) -> None:
        """Wait until a study is complete; what a lost worker was busy with is asked for again."""
        busy: set[str] = set()

        def on_change(worker: Assignment, ticket: str, state: State) -> None:
            if not state.is_final:
                busy.add(ticket)
                return
            busy.discard(ticket)
            if state.name == "lost":
                study.bury(ticket, is_death=True)
                self.display.say(f"  worker {worker.folder.name} was lost: {state.why}")
            else:
                raise_failure(state)

        def on_tick() -> None:
            show()
            if study.is_complete():
                raise _Complete

        try:
            for state in run_jobs(self.executor, workers, on_change, on_tick):
                raise_failure(state)
        except _Complete:
            pass  # and with it end the workers that wait for a place, or would find nothing to do
        finally:
            for ticket in busy:
                study.bury(ticket, is_death=False)

    def retrain(self, winner: Run, seeds: int) -> dict[Path, Run]:
        """The winner trained with fresh seeds, side by side; each run by its folder."""
        jobs = [retraining(winner, seed) for seed in fresh_seeds(winner, seeds)]
        places = {job.seed: retrained_folder(self.out, job) for job in jobs}
        trainings = [training(job, self.level, places[job.seed]) for job in jobs]
        title = f"the winner, {seeds} fresh seeds"
        with self.display.stage(title, max(1, seeds * winner.train.num_steps)) as stage:
            states = run_jobs(self.executor, trainings, on_tick=_watch(stage, trainings))
        for state in states:
            raise_failure(state)
        return {place: add_ledger(winner, place) for place in places.values()}


def show_trials(stage: Stage, study: OpenStudy, num_steps: int) -> None:
    """How far the trials of a study are, as its storage knows it."""
    trials = study.trials()
    begun = [trial for trial in trials if trial.datetime_start]
    for trial in sorted(begun, key=lambda trial: trial.state.is_finished()):
        step = num_steps if trial.state.is_finished() else trial.last_step or 0
        if step:
            label = f"trial {_first(trial, trials)}"
            stage.advance(label, step, f"{label} step {step}/{num_steps}")


def _first(trial: optuna.trial.FrozenTrial, trials: list[optuna.trial.FrozenTrial]) -> int:
    """The number of the trial whose values this one tries, again and again if need be."""
    while (number := trial.user_attrs.get(RETRY_OF)) is not None:
        trial = trials[number]
    return trial.number


def _watch(stage: Stage, trainings: list[Assignment]) -> Callable[[], None]:
    """Shows how far trainings are, as their folders say."""
    shown = [
        (one.folder, stage.watch(f"seed {one.spec.job.seed}"))
        for one in trainings
        if isinstance(one.spec, TrainSpec)
    ]

    def show() -> None:
        for folder, update in shown:
            if progress := read_progress(folder):
                update(progress)

    return show
