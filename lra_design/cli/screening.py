"""A fidelity ladder: many candidates trained shortly, fewer of them longer, the last ones in full.

How many go on from a rung is what the proxy gap of the references says is needed for the best to
be among them, and never fewer than the noise of one training does not tell from the best. A rung
that would cost as much as it saves is left out. Where nothing is measured of the task, the better
half goes on from each rung.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

from agent_sandbox.candidate import source_hash
from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.validate import validate
from leaderboards.noise import Noise, noise_floor
from leaderboards.proxy import CONFIDENCE, num_kept, screenings, survivors
from leaderboards.repeats import Conditions
from leaderboards.selection import Corrected, correct
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display, Stage
from lra_design.errors import CandidateFault, CandidateRefused, RecordError
from lra_design.files import write_atomically
from lra_design.records import Finding, Run, ValidationReport, from_json, record, to_json
from trainers.faults import fault_finding
from trainers.fidelity import shortened
from trainers.job import Job, run_id
from trainers.training import Progress, train

SHORT = (0.1, 0.3)
"""Shares of the recipe's steps of the rungs below the full one."""


@record
class Trained:
    """What a candidate reached on one rung."""

    name: str
    accuracy: float | None
    """Validation accuracy in [0, 1]; None when its training failed."""
    seconds: float
    """Device-seconds of this training."""
    goes_on: bool
    failure: Finding | None
    folder: str
    """Of the training, below that of the screening."""


@record
class Rung:
    """One length of training."""

    share: float
    """Of the recipe's steps."""
    num_steps: int
    trained: tuple[Trained, ...]
    """Best first."""
    num_needed: int
    """How many go on at least; on the last rung 1."""
    reason: str
    """Where that number comes from."""


@record
class Refused:
    """A candidate that was not trained."""

    name: str
    findings: tuple[Finding, ...]


@record
class Screening:
    """What a screening came to."""

    task: str
    scale: Literal["smoke", "small", "full"]
    mode: Literal["causal", "bidirectional"]
    seed: int
    refused: tuple[Refused, ...]
    rungs: tuple[Rung, ...]
    notes: tuple[str, ...]
    """Why rungs were left out."""
    best: Corrected | None
    """The best full accuracy, and without what choosing it can have added; None where no noise
    floor is measured or nothing was trained in full."""
    device_seconds: float
    """Of all trainings."""
    full_device_seconds: float
    """What training every valid candidate in full would take: measured for those that were, for
    the others in proportion to the steps."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many go on from one rung, and why."""

    num_needed: int
    reason: str
    noise: Noise | None


def plan_rung(conditions: Conditions, share: float, num_candidates: int) -> Plan:
    """What the measured figures say of a rung, or that there are none."""
    found = screenings(conditions, share)
    noise = noise_floor(conditions, share=share) or noise_floor(conditions)
    if found is None:
        reason = "nothing is measured of this task at this length: the better half"
        return Plan(math.ceil(num_candidates / 2), reason, noise)
    reason = (
        f"to keep the best with a probability of {CONFIDENCE:.0%}, by {len(found.names)} references"
    )
    return Plan(num_kept(found, num_candidates), reason, noise)


class Ladder:
    """The rungs, one after the other; what was trained before is read."""

    def __init__(
        self, jobs: Mapping[str, Job], isolation: Isolation, out: Path, crew: Crew, display: Display
    ) -> None:
        """jobs: the full training of each candidate, by its name, all under the same conditions."""
        self._jobs = jobs
        self._isolation = isolation
        self._out = out
        self._crew = crew
        self._display = display
        first = next(iter(jobs.values()))
        mode: Literal["causal", "bidirectional"]
        mode = "causal" if first.host.causal else "bidirectional"
        self._conditions = Conditions(first.task, first.scale, first.setting, mode)
        self._seed = first.seed
        self._notes: list[str] = []

    def climb(self) -> Screening:
        """Validate all, train them rung by rung, and say what it came to."""
        refused = self._refused()
        names = [name for name in self._jobs if name not in {r.name for r in refused}]
        rungs: list[Rung] = []
        for share in (*SHORT, 1.0):
            rung = self._rung(share, names) if names else None
            if rung is not None:
                rungs.append(rung)
                names = [trained.name for trained in rung.trained if trained.goes_on]
        return Screening(
            task=self._conditions.task,
            scale=self._conditions.scale,
            mode=self._conditions.mode,
            seed=self._seed,
            refused=refused,
            rungs=tuple(rungs),
            notes=tuple(self._notes),
            best=self._best(rungs[-1]) if rungs else None,
            device_seconds=sum(trained.seconds for rung in rungs for trained in rung.trained),
            full_device_seconds=_in_full(rungs),
        )

    def _refused(self) -> tuple[Refused, ...]:
        with self._display.stage("validating", len(self._jobs)) as stage:
            reports = {
                name: self._crew.submit(self._report, name, job, stage)
                for name, job in self._jobs.items()
            }
            found = {name: report.result() for name, report in reports.items()}
        return tuple(
            Refused(name=name, findings=tuple(f for f in report.findings if f.tier == "error"))
            for name, report in found.items()
            if not report.valid
        )

    def _report(self, name: str, job: Job, stage: Stage) -> ValidationReport:
        """The report on a candidate: an earlier call's, or a new one."""
        self._crew.check()
        report = kept_report(job.source, self._conditions.mode, self._isolation, self._out)
        stage.complete(name, 1)
        return report

    def _rung(self, share: float, names: Sequence[str]) -> Rung | None:
        """None when it is left out, which is noted."""
        plan = Plan(1, "the last rung", None)
        if share < 1:
            plan = plan_rung(self._conditions, share, len(names))
            if plan.num_needed + share * len(names) >= len(names):
                self._notes.append(
                    f"{share:.0%} of the steps left out: {plan.num_needed} of {len(names)} would "
                    f"have to go on ({plan.reason}), which saves nothing"
                )
                return None
        outcomes = self._train(share, names)
        reached = {n: _accuracy(run) for n, run in outcomes.items() if isinstance(run, Run)}
        going = survivors(reached, plan.num_needed, plan.noise) if share < 1 else list(reached)
        order = sorted(outcomes, key=lambda name: (-reached.get(name, -1.0), name))
        return Rung(
            share=share,
            num_steps=shortened(next(iter(self._jobs.values())).train, share).num_steps,
            trained=tuple(
                self._trained(name, share, outcomes[name], name in going) for name in order
            ),
            num_needed=plan.num_needed,
            reason=plan.reason,
        )

    def _job(self, name: str, share: float) -> Job:
        job = self._jobs[name]
        return dataclasses.replace(job, train=shortened(job.train, share))

    def _train(self, share: float, names: Sequence[str]) -> dict[str, Run | Finding]:
        """What each candidate came to, or why it came to nothing."""
        jobs = {name: self._job(name, share) for name in names}
        total = sum(job.train.num_steps for job in jobs.values())
        title = f"{len(names)} candidates, {share:.0%} of the steps"
        with self._display.stage(title, total) as stage:
            futures: dict[str, Future[Run | Finding]] = {
                name: self._crew.submit(
                    train_one, name, job, self._isolation, self._out, self._crew, stage
                )
                for name, job in jobs.items()
            }
            return {name: future.result() for name, future in futures.items()}

    def _trained(self, name: str, share: float, outcome: Run | Finding, goes_on: bool) -> Trained:
        ran = isinstance(outcome, Run)
        return Trained(
            name=name,
            accuracy=_accuracy(outcome) if isinstance(outcome, Run) else None,
            seconds=outcome.usage.seconds if isinstance(outcome, Run) else 0.0,
            goes_on=goes_on,
            failure=None if isinstance(outcome, Run) else outcome,
            folder=run_id(self._job(name, share))[:16] if ran else "",
        )

    def _best(self, last: Rung) -> Corrected | None:
        """The best of the full rung, corrected for being the best of so many."""
        noise = noise_floor(self._conditions)
        accuracies = [t.accuracy for t in last.trained if t.accuracy is not None]
        if noise is None or last.share < 1 or not accuracies:
            return None
        return correct(max(accuracies), len(accuracies), noise)


def kept_report(
    source: str, mode: Literal["causal", "bidirectional"], isolation: Isolation, out: Path
) -> ValidationReport:
    """The validator's report on `source`: an earlier call's that lies in `out`, or a new one."""
    content = source.encode()
    file = out / "validations" / f"{source_hash(content)[:16]}-{mode}.json"
    report = _read_report(file)
    if report is None:
        report = validate(content, isolation, mode=mode)
        write_atomically(file, to_json(report, indent=2).encode())
    return report


def train_one(
    name: str, job: Job, isolation: Isolation, out: Path, crew: Crew, stage: Stage
) -> Run | Finding:
    """Train `job` in its folder in `out`, or read what an earlier call trained there."""
    watch = stage.watch(name)

    def on_progress(progress: Progress) -> None:
        crew.check()
        watch(progress)

    crew.check()
    try:
        return train(job, isolation, out / run_id(job)[:16], on_progress)
    except CandidateRefused as refusal:
        return refusal.findings[0]
    except CandidateFault as fault:
        return fault_finding(fault, f"training on {job.task}")
    finally:
        stage.complete(name, job.train.num_steps)


def _read_report(file: Path) -> ValidationReport | None:
    try:
        return from_json(ValidationReport, file.read_bytes())
    except (FileNotFoundError, RecordError):  # another version's is made again
        return None


def _accuracy(run: Run) -> float:
    assert run.validation is not None, "a run that has ended has a validation score"
    return run.validation.accuracy


def _in_full(rungs: Sequence[Rung]) -> float:
    """Device-seconds of training everybody in full, by the longest training that each had."""
    seconds: dict[str, float] = {}
    for rung in rungs:
        seconds |= {trained.name: trained.seconds / rung.share for trained in rung.trained}
    return sum(seconds.values())
