"""The cells of a tournament: each a run of `lra-design design` in a folder of its own.

OUT/field.json                              what holds for all cells
    trainings/                              shared by all of them, by the ids of their runs
    cells/AGENT/TASK-SETTING-s0/            a job: see `trainers.executors.folder`
                                run/        the design run: journal, board and the rest
    tournament.json                         the table, and what it is made of
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm import open_llm
from agent_sandbox.agents.search import total_spent
from leaderboards.store import Store
from leaderboards.tournament import Cell, Outcome, Setting
from lra_design.cli.agents import check_agent
from lra_design.cli.agents_file import AgentsFile, Contender
from lra_design.cli.design import design, design_settings
from lra_design.cli.run_folder import RunFolder
from lra_design.errors import HarnessError, UsageError
from lra_design.records import Attempt, Level, Run, record
from trainers.executors import Assignment, State, command


@record
class Terms:
    """What a tournament was asked, but for which tasks, settings and seeds."""

    file: AgentsFile
    num_trials: int
    """Of each study in the tuned setting."""
    num_tests: int
    """Trainings of each finalist that are scored, with seeds of their own."""
    device: str
    """As `--device` takes it; each cell looks where it runs."""
    isolation: Level


@dataclass(frozen=True)
class Place:
    """One cell: what it is, and its folder."""

    contender: Contender
    task: str
    setting: Setting
    seed: int
    folder: Path

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.contender.name} on {self.task}, {self.setting}, seed {self.seed}"

    @property
    def run(self) -> RunFolder:
        """Of its design run."""
        return RunFolder(self.folder / "run")


def places(
    file: AgentsFile, tasks: Sequence[str], settings: Sequence[Setting], seeds: int, out: Path
) -> list[Place]:
    """Every cell: all agents with one seed on one task first, so that what is there compares."""
    return [
        Place(agent, task, setting, seed, _folder(out, agent.name, f"{task}-{setting}-s{seed}"))
        for seed in range(seeds)
        for task in tasks
        for setting in settings
        for agent in file.agents
    ]


def _folder(out: Path, agent: str, name: str) -> Path:
    return out.resolve() / "cells" / agent / name


def assignment(place: Place, terms: Terms, out: Path, working_folder: Path) -> Assignment:
    """The job of a cell; paths in the agents file are meant from `working_folder`."""
    return command(
        ["design", *_options(place, terms, out)],
        place.folder,
        working_folder=working_folder,
        result=str(place.run.page.relative_to(place.folder)),
    )


def _options(place: Place, terms: Terms, out: Path) -> list[str]:
    tuned = ["--trials", str(terms.num_trials)] if place.setting == "tuned" else []
    unsafe = terms.isolation == "unsafe"
    walls = ["--unsafe-no-sandbox"] if unsafe else ["--isolation", terms.isolation]
    return [
        *("--task", place.task, "--setting", place.setting, *tuned),
        *("--agent-seed", str(place.seed), "--seeds", str(terms.num_tests), "--workers", "1"),
        *("--device", terms.device, *walls, "--no-attribution"),
        *("--trainings", str(out.resolve() / "trainings"), "--out", str(place.run.path)),
        *terms.file.options(),
        *place.contender.options(),
    ]


def check(all_places: Sequence[Place], terms: Terms, out: Path, working_folder: Path) -> None:
    """Raise UsageError for the first cell that `lra-design design` would refuse, with its agent."""
    for place in all_places:
        try:
            _check(place, terms, out)
        except UsageError as error:
            raise UsageError(f"agent '{place.contender.name}': {error}") from None
    for contender in dict.fromkeys(place.contender for place in all_places):
        _check_script(contender, working_folder)


def _check(place: Place, terms: Terms, out: Path) -> None:
    import click

    try:
        asked: Mapping[str, Any] = design.make_context("design", _options(place, terms, out)).params
    except click.ClickException as error:
        raise UsageError(error.format_message()) from None
    check_agent(design_settings(asked, "cpu", terms.isolation), place.run.path, asked["trainings"])


def _check_script(contender: Contender, working_folder: Path) -> None:
    """Raise UsageError for answers in a file that are not there; services are not asked yet."""
    kind, colon, rest = (contender.llm or "").partition(":")
    if contender.llm and kind in ("scripted", "replay") and rest:
        open_llm(f"{kind}{colon}{working_folder / rest}")


def read_cell(place: Place, state: State | None = None) -> Cell:
    """What there is of a cell. state: how its job stands, where it was submitted.

    One whose records cannot be read has failed, by a fault of ours.
    """
    try:
        return _read(place, state)
    except HarnessError as error:
        return _cell(place, outcome="failed", why=str(error))


def _read(place: Place, state: State | None) -> Cell:
    attempts = Journal(place.run.journal).attempts()
    runs = Store(place.run.board).runs() if place.run.page.exists() else []
    scored = [run for run in runs if run.origin == "candidate"]
    outcome, why = _outcome(place, state, attempts, scored)
    return _cell(
        place,
        outcome=outcome,
        why=why,
        attempts=len(attempts),
        valid_attempts=sum(attempt.feedback.report.valid for attempt in attempts),
        spent=total_spent(attempts) if attempts or outcome != "missing" else None,
        **_reached(scored),
    )


def _cell(place: Place, **found: Any) -> Cell:
    return Cell(
        agent=place.contender.name,
        task=place.task,
        setting=place.setting,
        seed=place.seed,
        **found,
    )


def reference_cells(all_places: Sequence[Place]) -> list[Cell]:
    """What the references reached, by task and setting: in all cells the same trainings."""
    runs: dict[tuple[str, Setting, str], dict[str, Run]] = {}
    for place in all_places:
        for run in _runs(place):
            if run.origin == "reference":
                key = place.task, place.setting, run.name
                runs.setdefault(key, {})[run.run_id] = run
    return [
        Cell(
            agent=name,
            task=task,
            setting=setting,
            seed=0,
            outcome="valid",
            spent=None,
            **_reached(list(group.values())),
        )
        for (task, setting, name), group in runs.items()
    ]


def _runs(place: Place) -> list[Run]:
    """What a cell that has ended has scored; nothing where it cannot be read, which it says."""
    with suppress(HarnessError):
        return Store(place.run.board).runs() if place.run.page.exists() else []
    return []


def _reached(scored: Sequence[Run]) -> dict[str, Any]:
    """The fields of a cell that its finalist's runs fill."""
    tuning = scored[0].tuning if scored else None
    return {
        "finalist": scored[0].source_hash if scored else None,
        "validations": tuple(run.validation.accuracy for run in scored if run.validation),
        "tests": tuple(run.test for run in scored if run.test),
        "tuning_seconds": tuning.device_seconds if tuning else None,
    }


def _outcome(
    place: Place, state: State | None, attempts: Sequence[Attempt], scored: Sequence[Run]
) -> tuple[Outcome, str]:
    """How the search ended, and why it has no finalist."""
    if scored:
        return "valid", ""
    if place.run.page.exists():
        return "nothing valid", _why(attempts)
    if state is not None and state.name == "lost":
        return "missing", state.why
    if place.run.llm_fault.exists():
        return "llm fault", place.run.llm_fault.read_text(encoding="utf-8")
    if state is not None and state.name == "failed":
        return "failed", f"{state.error}: {state.why}"
    return "missing", ""


def _why(attempts: Sequence[Attempt]) -> str:
    """What became of the last attempt of a search without a finalist."""
    if not attempts:
        return "no attempt"
    last = attempts[-1].feedback
    errors = [finding for finding in last.report.findings if finding.tier == "error"]
    finding = next(iter(errors), last.failure)
    if finding is None:
        return "its finalist failed on the task"
    return f"{finding.check} {finding.name}: {finding.found}"
