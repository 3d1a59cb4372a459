"""Composes the parts: a source is validated, trained on tasks, scored by the referee."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.validate import validate
from leaderboards.store import Store
from lra_design.cli.crew import Crew
from lra_design.cli.display import Stage
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.records import Feedback, Finding, Run, Score, ValidationReport
from trainers.faults import fault_finding
from trainers.job import Job, run_id
from trainers.recipes import get_recipe
from trainers.referee import score_run
from trainers.training import Progress, train

Outcome = Run | tuple[Finding, ...]
"""A finished training, or why there is none."""


@dataclass(frozen=True)
class Entrant:
    """Who takes part: a reference or an agent's candidate."""

    name: str
    source: str
    agent: str | None = None
    num_attempts: int = 1


@dataclass(frozen=True)
class Judging:
    """Everything a design run judges with."""

    settings: DesignSettings
    folder: RunFolder
    isolation: Isolation
    """Of validation."""
    training: Isolation
    """Of trainings and of the referee; the same where they are computed on the processor."""
    crew: Crew

    def job(self, entrant: Entrant, task: str, seed: int) -> Job:
        """The training of `entrant` on `task` with `seed`, by the recipe."""
        recipe = get_recipe(task, self.settings.scale)
        causal = self.settings.mode == "causal"
        return Job(
            name=entrant.name,
            origin="candidate" if entrant.agent else "reference",
            agent=entrant.agent,
            source=entrant.source,
            task=task,
            scale=self.settings.scale,
            setting="fixed",
            host=dataclasses.replace(recipe.host, causal=causal),
            train=recipe.train,
            hyperparameters={},
            seed=seed,
            device=self.settings.device,
            num_attempts=entrant.num_attempts,
        )

    def evaluate(self, entrants: Sequence[Entrant], stage: Stage) -> Iterator[Feedback]:
        """Feedback on each entrant in order: its validation report and its probe accuracies."""
        reports = [self.crew.submit(self._validate, entrant) for entrant in entrants]
        trainings: list[list[Future[Outcome]]] = []
        for entrant, report in zip(entrants, reports, strict=True):
            jobs = [self.job(entrant, probe, seed=0) for probe in self.settings.probes]
            if report.result().valid:
                trainings.append([self.crew.submit(self.train, job, stage) for job in jobs])
            else:
                trainings.append([])
                for job in jobs:
                    stage.complete(_label(job), job.train.num_steps)
        for report, futures in zip(reports, trainings, strict=True):
            yield _feedback(report.result(), [future.result() for future in futures])

    def _validate(self, entrant: Entrant) -> ValidationReport:
        self.crew.check()
        return validate(entrant.source.encode(), self.isolation, mode=self.settings.mode)

    def train(self, job: Job, stage: Stage) -> Outcome:
        """Train `job`, or read what an earlier call trained."""
        watch = stage.watch(_label(job))

        def on_progress(progress: Progress) -> None:
            self.crew.check()
            watch(progress)

        self.crew.check()
        try:
            outcome: Outcome = train(
                job, self.training, self.folder.training(run_id(job)), on_progress
            )
        except CandidateRefused as refusal:
            outcome = refusal.findings
        except CandidateFault as fault:
            outcome = (fault_finding(fault, f"training on {job.task}"),)
        stage.complete(_label(job), job.train.num_steps)
        return outcome

    def train_and_score(self, job: Job, stage: Stage) -> Outcome:
        """Train `job`, score it on the sealed test split once, and put the record on the board."""
        outcome = self.train(job, stage)
        if not isinstance(outcome, Run):
            return outcome
        store = Store(self.folder.board)
        for known in store.runs():
            if known.run_id == outcome.run_id:
                return known
        try:
            scored = score_run(outcome, self.folder.training(outcome.run_id), self.training)
        except CandidateFault as fault:
            return (fault_finding(fault, f"scoring on {job.task}"),)
        store.append(scored)
        return scored


def _label(job: Job) -> str:
    return f"{job.name} on {job.task}, seed {job.seed}"


def _feedback(report: ValidationReport, outcomes: Sequence[Outcome]) -> Feedback:
    scores: list[Score] = []
    seconds = report.seconds
    for outcome in outcomes:
        if not isinstance(outcome, Run):
            return Feedback(report=report, failure=outcome[0], seconds=seconds)
        assert outcome.validation is not None, "a run that has ended has a validation score"
        scores.append(outcome.validation)
        seconds += outcome.usage.seconds
    return Feedback(report=report, scores=tuple(scores), seconds=seconds)
