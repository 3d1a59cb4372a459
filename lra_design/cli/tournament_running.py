"""The cells of a tournament as jobs of an executor, and what is said as they go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from leaderboards.tournament import Cell
from lra_design.cli.display import Display, Stage
from lra_design.cli.preparing import generate_shown
from lra_design.cli.run_folder import locked
from lra_design.cli.spread import opened_executor
from lra_design.cli.tournament_cells import Place, Terms, assignment, read_cell
from lra_design.errors import UsageError
from lra_design.files import write_atomically
from lra_design.records import from_json, to_json
from tasks.registry import get_task
from tasks.splits.storage import split_hash
from trainers.executors import Assignment, State, run_jobs

FIELD = "field.json"
"""In the folder of a tournament: its terms."""


def run_cells(
    places: Sequence[Place],
    terms: Terms,
    out: Path,
    working_folder: Path,
    executor: str,
    num_workers: int,
) -> dict[Path, State]:
    """Run the cells that have not ended, `num_workers` side by side; how each job ended, by folder.

    One that fails stops no other. working_folder: paths in the agents file are meant from there.
    Raises UsageError when `out` holds a tournament on other terms, or is in use; DataError when the
    data of a task is missing.
    """
    display = Display()
    with locked(out):
        _keep(terms, out / FIELD)
        _prepare(places, terms, display)
        jobs = [assignment(place, terms, out, working_folder) for place in places]
        title = f"{len(places)} searches of {len(terms.file.agents)} agents"
        with (
            opened_executor(executor, num_workers) as opened,
            display.showing(),
            display.stage(title, len(places)) as stage,
        ):
            followed = _Followed(places, display, stage)
            states = run_jobs(opened, jobs, followed.change)
    return {place.folder: state for place, state in zip(places, states, strict=True)}


def _keep(terms: Terms, path: Path) -> None:
    """Write the terms down. Raises UsageError when others are there; agents may be added."""
    if path.exists():
        _compare(from_json(Terms, path.read_bytes()), terms, path.parent)
    write_atomically(path, to_json(terms, indent=2).encode())


def _compare(there: Terms, asked: Terms, out: Path) -> None:
    values, wanted = _common(there), _common(asked)
    agents = {agent.name: agent for agent in there.file.agents}
    differences = [
        *(
            f"{name} {values[name]} there, {wanted[name]} asked"
            for name in values
            if values[name] != wanted[name]
        ),
        *(
            f"another agent '{agent.name}'"
            for agent in asked.file.agents
            if agents.get(agent.name, agent) != agent
        ),
    ]
    if differences:
        raise UsageError(
            f"{out} holds a tournament on other terms: {', '.join(differences)}. Name another "
            "folder with --out."
        )


def _common(terms: Terms) -> dict[str, object]:
    """What holds for all agents."""
    file = terms.file
    return {
        "budget": to_json(file.budget),
        "scale": file.scale,
        "mode": file.mode,
        "probes": file.probes,
        "references": file.references,
        "trials": terms.num_trials,
        "test seeds": terms.num_tests,
        "device": terms.device,
        "isolation": terms.isolation,
    }


def _prepare(places: Sequence[Place], terms: Terms, display: Display) -> None:
    """Make the splits of generated tasks; raise DataError where those of another are missing."""
    names = dict.fromkeys([*terms.file.probes, *(place.task for place in places)])
    with display.showing():
        for name in names:
            generate_shown(get_task(name), display)
            split_hash(get_task(name), "train")


class _Followed:
    """What is said of the cells as they go."""

    def __init__(self, places: Sequence[Place], display: Display, stage: Stage) -> None:
        self._places = {place.folder: place for place in places}
        self._display = display
        self._stage = stage

    def change(self, assignment: Assignment, ticket: str, state: State) -> None:
        """A job stands otherwise than before."""
        place = self._places[assignment.folder]
        if state.is_final:
            outcome = _outcome(read_cell(place, state))
            self._stage.advance(place.label, 1, f"{place.label} has ended")
            self._display.say(f"{place.label}: {outcome}\n  {place.folder}")


def _outcome(cell: Cell) -> str:
    """What a cell came to, in a line."""
    parts = [f"{cell.outcome}, {cell.valid_attempts} of {cell.attempts} attempts valid"]
    if cell.validations:
        parts.append(f"validation {100 * max(cell.validations):.1f} %")
    if cell.tests:
        parts.append(f"test {100 * max(score.accuracy for score in cell.tests):.1f} %")
    return ", ".join([*parts, *([cell.why] if cell.why else [])])
