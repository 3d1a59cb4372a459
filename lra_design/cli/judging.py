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
from lra_design.cli.run_folder import DesignSettings, RunFolder, awaited
from lra_design.cli.screening import kept_report
from lra_design.errors import CandidateFault, CandidateRefused
from lra_design.files import write_atomically
from lra_design.records import (
    Feedback,
    Finding,
    Run,
    Score,
    Tuning,
    ValidationReport,
    from_json,
    to_json,
)
from trainers.executors.folder import SCORED
from trainers.faults import fault_finding
from trainers.job import Job, run_id
from trainers.recipes import get_recipe
from trainers.referee import score_run
from trainers.training import Progress, train
from trainers.tuning.study import Search

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
        if self.folder.shared is not None:
            kept = self.folder.shared
            return kept_report(entrant.source, self.settings.mode, self.isolation, kept)
        return validate(entrant.source.encode(), self.isolation, mode=self.settings.mode)

    def train(self, job: Job, stage: Stage) -> Outcome:
        """Train `job`, or read what an earlier call trained."""
        watch = stage.watch(_label(job))

        def on_progress(progress: Progress) -> None:
            self.crew.check()
            watch(progress)

        self.crew.check()
        folder = self.folder.training(run_id(job))
        try:
            with awaited(folder, self.crew.check):
                outcome: Outcome = _as_asked(train(job, self.training, folder, on_progress), job)
        except CandidateRefused as refusal:
            outcome = refusal.findings
        except CandidateFault as fault:
            outcome = (fault_finding(fault, f"training on {job.task}"),)
        stage.complete(_label(job), job.train.num_steps)
        return outcome

    def tune(self, entrant: Entrant, task: str, stage: Stage) -> Outcome:
        """The best trial of a study of `entrant`, with its ledger; or why there is none."""
        assert self.settings.num_trials is not None, "the tuned setting has a number of trials"
        job = self.job(entrant, task, seed=0)
        folder = self.folder.study(run_id(job))
        try:
            with awaited(folder, self.crew.check):
                search = Search(
                    job,
                    self.training,
                    folder,
                    num_trials=self.settings.num_trials,
                    watch=lambda number: stage.watch(f"{entrant.name}, trial {number}"),
                )
                search.work(self.crew.check)
                return _as_asked(search.best(), job)
        except CandidateRefused as refusal:
            return refusal.findings
        except CandidateFault as fault:
            return (fault_finding(fault, f"tuning on {task}"),)

    def train_and_score(self, job: Job, stage: Stage, tuning: Tuning | None = None) -> Outcome:
        """Train `job`, score it on the sealed test split once, and put the record on the board.

        tuning: the ledger of the study that found its configuration.
        """
        outcome = self.train(job, stage)
        if not isinstance(outcome, Run):
            return outcome
        outcome = dataclasses.replace(outcome, tuning=tuning)
        store = Store(self.folder.board)
        for known in store.runs():
            if known.run_id == outcome.run_id:
                return known
        try:
            scored = self._scored(outcome)
        except CandidateFault as fault:
            return (fault_finding(fault, f"scoring on {job.task}"),)
        store.append(scored)
        return scored

    def _scored(self, run: Run) -> Run:
        """`run` with its test score: of the same training everybody has the same one."""
        folder = self.folder.training(run.run_id)
        with awaited(folder, self.crew.check):
            if (folder / SCORED).exists():
                there = from_json(Run, (folder / SCORED).read_bytes())
                return dataclasses.replace(run, test=there.test, findings=there.findings)
            scored = score_run(run, folder, self.training)
            write_atomically(folder / SCORED, to_json(scored, indent=2).encode())
        return scored


def _as_asked(run: Run, job: Job) -> Run:
    """The record of `job`, whose training another one with equal numbers may have done before."""
    return dataclasses.replace(
        run, name=job.name, origin=job.origin, agent=job.agent, num_attempts=job.num_attempts
    )


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
