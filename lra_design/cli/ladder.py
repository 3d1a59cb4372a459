"""The ladder of a design run, rung by rung: probes, task, test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.search import Event, search, total_spent
from lra_design.cli.agents import DEFAULT_ATTEMPTS, opened_agent
from lra_design.cli.attributing import Change, winners_change
from lra_design.cli.design import NUM_FINALISTS
from lra_design.cli.display import Display, Stage
from lra_design.cli.dossiers import keep_dossiers
from lra_design.cli.external import submitted
from lra_design.cli.judging import Entrant, Judging
from lra_design.cli.preparing import generate_shown
from lra_design.files import write_atomically
from lra_design.records import Attempt, Feedback, Finding, Run, Spending, Tuning
from mechanisms import FEW, reference_source
from tasks.registry import get_task
from trainers.job import Job
from trainers.recipes import get_recipe
from trainers.tuning.winner import fresh_seeds, retraining


class Ladder:
    """One design run from its first candidate to its last test score."""

    def __init__(self, judging: Judging, display: Display) -> None:
        self._judging = judging
        self._settings = judging.settings
        self._display = display
        self._agent_name = ""
        names = judging.settings.references or FEW
        self._references = [Entrant(name, reference_source(name)) for name in names]

    def climb(self) -> Change | None:
        """Go through all rungs; what an earlier call finished is read, not repeated.

        What there is to attribute: the winner's change, when it has several ingredients.
        """
        references, attempts = self.search_on_probes()
        self._compare_on_probes(references, attempts)
        best = self._choose(attempts)
        self._keep_dossiers(references, attempts, best)
        self._compete([*([best] if best else []), *self._references])
        return winners_change(attempts, best) if best is not None else None

    def search_on_probes(self) -> tuple[dict[str, Feedback], list[Attempt]]:
        """The first rung: what the references reach, by name, and every attempt of the agent."""
        self._prepare_data()
        references = self._try_references()
        return references, self._search(_shelf(references))

    def _prepare_data(self) -> None:
        names = (*self._settings.probes, self._settings.task)
        self._display.say(f"data: {', '.join(names)}")
        for name in names:
            generate_shown(get_task(name), self._display)

    def _probe_steps(self, num_entrants: int) -> int:
        recipes = [get_recipe(probe, self._settings.scale) for probe in self._settings.probes]
        return num_entrants * sum(recipe.train.num_steps for recipe in recipes)

    def _try_references(self) -> dict[str, Feedback]:
        """What the references reach on the probes, by name."""
        total = self._probe_steps(len(self._references))
        with self._display.stage("references on the probes", total) as stage:
            feedbacks = {}
            pairs = zip(
                self._references, self._judging.evaluate(self._references, stage), strict=True
            )
            for reference, feedback in pairs:
                feedbacks[reference.name] = feedback
                self._display.say(f"{reference.name}\n  {_outcome(feedback)}")
        return feedbacks

    def _search(self, shelf: str) -> list[Attempt]:
        """Let the agent write until its budget is spent."""
        number = self._settings.budget.attempts
        with opened_agent(self._judging, shelf) as opened:
            self._agent_name = opened.agent.name
            title = f"{self._agent_name} writes {number or 'its'} candidates"
            with self._display.stage(title, self._probe_steps(number or DEFAULT_ATTEMPTS)) as stage:
                attempts = search(
                    opened.agent,
                    lambda sources: self._evaluate(sources, stage),
                    Journal(self._judging.folder.journal),
                    budget=self._settings.budget,
                    batch_size=opened.batch_size,
                    on_event=self._show_event,
                    llm_spending=opened.spending,
                )
            if end := opened.finish(attempts):
                self._display.say(end)
        if afterword := opened.afterword():
            self._display.say(afterword)
        self._display.say(f"spent: {_spent(total_spent(attempts))}")
        return attempts

    def _evaluate(self, sources: Sequence[str], stage: Stage) -> Iterator[Feedback]:
        return self._judging.evaluate([self._entrant(source) for source in sources], stage)

    def _entrant(self, source: str, num_attempts: int = 1) -> Entrant:
        """num_attempts: from how many it was chosen."""
        return Entrant(_title(source), source, self._agent_name, num_attempts)

    def _show_event(self, event: Event) -> None:
        if event.kind == "resumed":
            self._display.say(f"resumed: {event.index} attempts are in the journal")
        if event.kind == "proposed" and event.proposal is not None:
            path = self._judging.folder.candidate(event.index)
            write_atomically(path, event.proposal.source.encode())
            self._display.say(
                f"attempt {event.index}  {event.proposal.operator}: {event.proposal.change}\n"
                f"  {path}"
            )
        if event.kind == "ended":
            self._display.say(f"the search has ended: {event.reason}")
        if event.attempt is not None:
            self._display.say(f"attempt {event.index}\n  {_outcome(event.attempt.feedback)}")

    def _compare_on_probes(
        self, references: dict[str, Feedback], attempts: Sequence[Attempt]
    ) -> None:
        means = {name: feedback.mean_accuracy or 0.0 for name, feedback in references.items()}
        strongest = max(means, key=lambda name: means[name])
        best = max(attempts, key=_fitness, default=None)
        if best is None:
            self._display.say("\nThe agent proposed nothing.")
            return
        num_valid = sum(attempt.feedback.report.valid for attempt in attempts)
        self._display.say(
            f"\n{num_valid} of {len(attempts)} candidates are valid. Best mean over the probes: "
            f"{_fitness(best):.3f} (attempt {best.index}); best reference: {means[strongest]:.3f} "
            f"({strongest})."
        )

    def _choose(self, attempts: Sequence[Attempt]) -> Entrant | None:
        """The finalist with the best validation accuracy on the task; None without any."""
        wanted = submitted(attempts) or attempts
        scored = [attempt for attempt in wanted if attempt.feedback.scores]
        distinct = {attempt.proposal.source: attempt for attempt in scored}
        leaders = sorted(distinct.values(), key=_fitness, reverse=True)[:NUM_FINALISTS]
        finalists = [self._entrant(attempt.proposal.source, len(attempts)) for attempt in leaders]
        runs = dict(zip(finalists, self._train(finalists), strict=True))
        best = max(runs, key=lambda entrant: _validation(runs[entrant]), default=None)
        return best if best is not None and isinstance(runs[best], Run) else None

    def _keep_dossiers(
        self, references: dict[str, Feedback], attempts: Sequence[Attempt], best: Entrant | None
    ) -> None:
        """What validation said of those who compete goes to the board."""
        reports = {entrant.source: references[entrant.name].report for entrant in self._references}
        if best is not None:
            sources = {attempt.proposal.source: attempt.feedback.report for attempt in attempts}
            reports[best.source] = sources[best.source]
        keep_dossiers(self._judging, reports, best.source if best else None)

    def _train(self, finalists: Sequence[Entrant]) -> list[Run | tuple[Finding, ...]]:
        task = self._settings.task
        total = len(finalists) * get_recipe(task, self._settings.scale).train.num_steps
        with self._display.stage(f"finalists on {task}", max(1, total)) as stage:
            futures = [
                self._judging.crew.submit(
                    self._judging.train, self._judging.job(entrant, task, seed=0), stage
                )
                for entrant in finalists
            ]
            outcomes = [future.result() for future in futures]
            for entrant, outcome in zip(finalists, outcomes, strict=True):
                self._display.say(f"{entrant.name}\n  {_run_line(outcome)}")
        return outcomes

    def _compete(self, entrants: Sequence[Entrant]) -> None:
        """Train everybody with every seed under the same recipe, and open the test split."""
        jobs = self._final_jobs(entrants)
        total = sum(job.train.num_steps for job, _ in jobs)
        title = (
            f"{len(entrants)} mechanisms on {self._settings.task}, {self._settings.num_seeds} "
            "seeds each, sealed test"
        )
        with self._display.stage(title, max(1, total)) as stage:
            futures = [
                self._judging.crew.submit(self._judging.train_and_score, job, stage, tuning)
                for job, tuning in jobs
            ]
            for (job, _), future in zip(jobs, futures, strict=True):
                line = _run_line(future.result())
                self._display.say(f"{job.name}, seed {job.seed}\n  {line}")

    def _final_jobs(self, entrants: Sequence[Entrant]) -> list[tuple[Job, Tuning | None]]:
        """What is trained to be scored, and the ledger of the study that found how."""
        if self._settings.setting == "tuned":
            return self._tuned_jobs(entrants)
        return [
            (self._judging.job(entrant, self._settings.task, seed), None)
            for seed in range(self._settings.num_seeds)
            for entrant in entrants
        ]

    def _tuned_jobs(self, entrants: Sequence[Entrant]) -> list[tuple[Job, Tuning | None]]:
        """The winner of a study of each, to be trained with seeds that the study did not have."""
        task, trials = self._settings.task, self._settings.num_trials or 0
        total = len(entrants) * trials * get_recipe(task, self._settings.scale).train.num_steps
        with self._display.stage(f"{trials} trials of each on {task}", max(1, total)) as stage:
            futures = [
                self._judging.crew.submit(self._judging.tune, entrant, task, stage)
                for entrant in entrants
            ]
            winners = [future.result() for future in futures]
        for entrant, winner in zip(entrants, winners, strict=True):
            self._display.say(f"{entrant.name}, tuned\n  {_run_line(winner)}")
        return [
            (retraining(winner, seed), winner.tuning)
            for winner in winners
            if isinstance(winner, Run)
            for seed in fresh_seeds(winner, self._settings.num_seeds)
        ]


def _shelf(references: dict[str, Feedback]) -> str:
    """What the references reach on the probes, for an llm."""
    return "\n".join(f"- {name}: {_outcome(feedback)}" for name, feedback in references.items())


def _spent(spending: Spending) -> str:
    """What a search took, in a line; a figure that is not known is left out."""
    parts = [
        f"{spending.attempts} attempts",
        f"{spending.evaluations} judged",
        f"{spending.wall_seconds:.0f} s by the clock",
        f"{spending.device_seconds:.0f} s of devices",
    ]
    if spending.tokens:
        parts.append(f"{spending.tokens} tokens")
        parts.append("cost not known" if spending.dollars is None else f"${spending.dollars:.2f}")
    return ", ".join(parts)


def _title(source: str) -> str:
    """The first line of a candidate's docstring: what it says it is."""
    match = re.match(r'\s*"""(.+?)\.?\s*(?:\n|""")', source)
    return match.group(1) if match else "untitled"


def _fitness(attempt: Attempt) -> float:
    """For ordering: an attempt without scores comes last."""
    mean = attempt.feedback.mean_accuracy
    return -1.0 if mean is None else mean


def _validation(outcome: Run | tuple[Finding, ...]) -> float:
    if isinstance(outcome, Run) and outcome.validation is not None:
        return outcome.validation.accuracy
    return -1.0


def _outcome(feedback: Feedback) -> str:
    """Feedback in a few lines."""
    report = feedback.report
    findings = [*report.findings, *([feedback.failure] if feedback.failure else [])]
    lines = [_finding_line(finding) for finding in findings]
    if report.valid:
        lines.insert(0, f"valid: {len(report.checks)} checks in {report.seconds:.2f} s")
    if feedback.scores:
        scores = "  ".join(f"{score.task} {score.accuracy:.3f}" for score in feedback.scores)
        lines.append(f"{scores}  mean {feedback.mean_accuracy:.3f}")
    return "\n  ".join(lines)


def _finding_line(finding: Finding) -> str:
    return f"{finding.tier} {finding.check} {finding.name}: {finding.found}"


def _run_line(outcome: Run | tuple[Finding, ...]) -> str:
    if not isinstance(outcome, Run):
        return "\n  ".join(map(_finding_line, outcome))
    parts = [f"validation {100 * _validation(outcome):.1f} %"]
    if outcome.test is not None:
        parts.append(f"test {100 * outcome.test.accuracy:.1f} %")
    return "  ".join([*parts, *map(_finding_line, outcome.findings)])
