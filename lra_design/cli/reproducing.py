"""The trainings of `lra-design reproduce`, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from pathlib import Path

from agent_sandbox.isolation import Isolation
from leaderboards.store import Store
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display, Stage
from lra_design.cli.preparing import generate_shown
from lra_design.errors import CandidateFault, CandidateRefused
from tasks.registry import get_task
from trainers.job import Job, run_id
from trainers.referee import score_run
from trainers.training import Progress, train


class Trainings:
    """Trains and scores jobs in a folder; what an earlier call finished is read."""

    def __init__(self, folder: Path, store: Store, isolation: Isolation, crew: Crew) -> None:
        self._folder = folder
        self._store = store
        self._isolation = isolation
        self._crew = crew
        self._display = Display()
        self.num_failed = 0

    def run(self, jobs: Sequence[Job]) -> None:
        """Train each job, score it and append its record to the store, in this order."""
        with self._display.showing():
            for task in dict.fromkeys(job.task for job in jobs):
                generate_shown(get_task(task), self._display)
            total = sum(job.train.num_steps for job in jobs)
            with self._display.stage(f"{len(jobs)} trainings", total) as stage:
                futures = [self._crew.submit(self._train_and_score, job, stage) for job in jobs]
                wait(futures, return_when=FIRST_EXCEPTION)
                for future in futures:
                    if future.done():
                        future.result()

    def _train_and_score(self, job: Job, stage: Stage) -> None:
        label = f"{job.name} on {job.task}, seed {job.seed}"
        try:
            self._display.say(f"{label}: {self._accuracies(job, stage, label)}")
        except (CandidateFault, CandidateRefused) as fault:
            self.num_failed += 1
            self._display.say(f"{label}: failed, {fault}")
        stage.complete(label, job.train.num_steps)

    def _accuracies(self, job: Job, stage: Stage, label: str) -> str:
        watch = stage.watch(label)

        def on_progress(progress: Progress) -> None:
            self._crew.check()
            watch(progress)

        self._crew.check()
        folder = self._folder / "trainings" / run_id(job)[:16]
        run = train(job, self._isolation, folder, on_progress)
        scored = score_run(run, folder, self._isolation)
        self._store.append(scored)
        assert scored.validation is not None
        assert scored.test is not None, "it was just scored"
        validation, test = scored.validation.accuracy, scored.test.accuracy
        return f"validation {100 * validation:.1f} %, test {100 * test:.1f} %"
