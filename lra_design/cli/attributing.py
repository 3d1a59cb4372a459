"""What an attribution trains, what it came to in words, and the command that does one."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Literal, NamedTuple

from agent_sandbox.agents.edits import split_change
from agent_sandbox.isolation import Isolation
from leaderboards.attribution import Attributed, Attribution, Effect, Reached, Variant
from leaderboards.comparison import Comparison
from lra_design.cli.crew import Crew
from lra_design.cli.display import Display, Stage
from lra_design.cli.judging import Entrant
from lra_design.cli.run_folder import DesignSettings, RunFolder
from lra_design.cli.screening import kept_report, train_one
from lra_design.records import Attempt, Finding, Run, ValidationReport
from lra_design.visible import visible_text
from trainers.job import Job


class Trainings:
    """Validates variants and trains the valid ones with every seed, or reads what is there."""

    def __init__(
        self,
        job: Job,
        num_seeds: int,
        walls: Isolation,
        training: Isolation,
        out: Path,
        crew: Crew,
        display: Display,
    ) -> None:
        """job: the training of any of them with any seed, at the recipe's learning rate.

        walls: of validation. training: of trainings; another where they are on a card.
        """
        self._job, self._seeds = job, range(num_seeds)
        self._walls, self._training = walls, training
        self._out, self._crew, self._display = out, crew, display

    def __call__(self, variants: Sequence[Variant]) -> list[Reached]:
        """Accuracies by seed of each variant, or why it has none."""
        refused = self._refused({v.source: v.name for v in variants})
        jobs = {
            (variant, seed): self._variant_job(variant, seed)
            for variant in variants
            for seed in self._seeds
            if variant.source not in refused
        }
        with self._display.stage(
            f"{len(jobs)} trainings", max(1, len(jobs) * self._job.train.num_steps)
        ) as stage:
            futures = {key: self._submitted(job, stage) for key, job in jobs.items()}
            outcomes = {key: future.result() for key, future in futures.items()}
        return [self._reached(variant, refused, outcomes) for variant in variants]

    def _refused(self, names: Mapping[str, str]) -> dict[str, Finding]:
        """The first error of each source that is invalid. names: by source."""
        mode: Literal["causal", "bidirectional"]
        mode = "causal" if self._job.host.causal else "bidirectional"
        with self._display.stage("validating", max(1, len(names))) as stage:

            def report(source: str, name: str) -> ValidationReport:
                self._crew.check()
                found = kept_report(source, mode, self._walls, self._out)
                stage.complete(name, 1)
                return found

            futures = {s: self._crew.submit(report, s, name) for s, name in names.items()}
            reports = {source: future.result() for source, future in futures.items()}
        return {
            source: next(f for f in found.findings if f.tier == "error")
            for source, found in reports.items()
            if not found.valid
        }

    def _variant_job(self, variant: Variant, seed: int) -> Job:
        rate = self._job.train.learning_rate
        train = dataclasses.replace(self._job.train, learning_rate=rate * variant.rate)
        name = f"{self._job.name}: {variant.name}"
        return dataclasses.replace(
            self._job, name=name, source=variant.source, train=train, seed=seed
        )

    def _submitted(self, job: Job, stage: Stage) -> Future[Run | Finding]:
        label = f"{job.name}, seed {job.seed}, learning rate {job.train.learning_rate:.2g}"
        return self._crew.submit(
            train_one, label, job, self._training, self._out, self._crew, stage
        )

    def _reached(
        self,
        variant: Variant,
        refused: Mapping[str, Finding],
        outcomes: Mapping[tuple[Variant, int], Run | Finding],
    ) -> Reached:
        accuracies: dict[int, float] = {}
        for seed in self._seeds:
            outcome = refused.get(variant.source) or outcomes[variant, seed]
            if isinstance(outcome, Finding):
                self._display.say(f"{variant.name}: {_found(outcome)}")
                return outcome
            assert outcome.validation is not None, "a run that has ended has a validation score"
            accuracies[seed] = outcome.validation.accuracy
        return accuracies


def summary(found: Attribution) -> Iterator[str]:
    """An attribution in words, line by line."""
    yield f"the whole change: {_effect(found.whole)}"
    for number, one in enumerate(found.ingredients, start=1):
        yield f"\n{number}. {_label(one)}"
        yield f"   {', '.join(one.parts) or 'the file changed'}"
        yield from (f"     {visible_text(line)}" for line in one.diff.splitlines()[2:])
        yield f"   the parent with it, against the parent: {_effect(one.alone)}"
        yield f"   the child, against the child without it: {_effect(one.missing)}"


def _label(one: Attributed) -> str:
    if one.label == "only together":
        numbers = " or ".join(map(str, one.partners))
        return f"only together with {numbers or 'several of the others'}"
    if one.label == "not valid alone" and one.alone.failure is not None:
        return f"not valid alone: {_found(one.alone.failure)}"
    return one.label


def _effect(effect: Effect) -> str:
    if effect.failure is not None:
        return f"not trained: {effect.failure.check} {effect.failure.name}"
    text = _compared(effect.fixed)
    if effect.rates is None:
        return text
    ours, theirs = effect.rates
    return f"{text}; at the best rates, x{ours:.2g} and x{theirs:.2g}: {_compared(effect.tuned)}"


def _compared(comparison: Comparison | None) -> str:
    if comparison is None or comparison.mean is None:
        return "nothing to compare"
    text = f"{comparison.verdict}, {100 * comparison.mean:+.2f} points"
    if comparison.low is None or comparison.high is None:
        return text
    return f"{text} ({100 * comparison.low:+.2f} to {100 * comparison.high:+.2f})"


def _found(finding: Finding) -> str:
    return visible_text(f"{finding.check} {finding.name}: {finding.found}")


class Change(NamedTuple):
    """What makes the winner of a run of its nearest ancestor with scores."""

    winner: Entrant
    parent: Attempt
    child: Attempt
    """The winner's."""
    num_ingredients: int

    @property
    def num_variants(self) -> int:
        """Sources that tell its ingredients apart, as long as each is valid and none is paired."""
        return 4 if self.num_ingredients == 2 else 2 + 2 * self.num_ingredients


def winners_change(attempts: Sequence[Attempt], winner: Entrant) -> Change | None:
    """What there is to attribute: None when no ancestor has scores, or the change from the nearest
    that has is one ingredient."""
    by_hash = {attempt.source_hash: attempt for attempt in reversed(attempts)}
    child = next(attempt for attempt in attempts if attempt.proposal.source == winner.source)
    parent = _scored_ancestor(child, by_hash)
    if parent is None:
        return None
    number = len(split_change(parent.proposal.source, winner.source))
    return Change(winner, parent, child, number) if number >= 2 else None


def attributing_command(
    change: Change, settings: DesignSettings, folder: RunFolder, *more: str
) -> str:
    """The command that attributes the winner of a run; its trainings are used again."""
    files = (str(folder.candidate(attempt.index)) for attempt in (change.parent, change.child))
    options = {
        "task": settings.task,
        "scale": settings.scale,
        "mode": settings.mode,
        "seeds": str(settings.num_seeds),
        "device": settings.device,
        "out": str(folder.trainings),
    }
    unsafe = settings.isolation == "unsafe"
    walls = ("--unsafe-no-sandbox",) if unsafe else ("--isolation", settings.isolation)
    named = (part for name, value in options.items() for part in (f"--{name}", value))
    return shlex.join(["lra-design", "attribute", *files, *named, *walls, *more])


def _scored_ancestor(child: Attempt, by_hash: Mapping[str, Attempt]) -> Attempt | None:
    """The nearest in the line of first parents that has scores."""
    seen = {child.source_hash}
    while child.proposal.parents:
        parent = by_hash.get(child.proposal.parents[0])
        if parent is None or parent.source_hash in seen or parent.feedback.scores:
            return parent if parent is not None and parent.feedback.scores else None
        seen.add(parent.source_hash)
        child = parent
    return None
