"""The folder of a job: what is asked, where it runs, how far it is, how it ended.

<folder>/spec.json       what is asked
         process.json    who works on it, or did last
         progress.json   of a training, written every few seconds
         outcome.json    how it ended, with the ticket of the submission that did it
         log.txt         what its processes wrote, one after the other
         run.json, ...   of a training: see `trainers.training`
         scored.json     of a training that was to be scored: its record with the test score
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TypeVar

from lra_design.errors import DataError, UsageError
from lra_design.files import write_atomically
from lra_design.records import from_json, record, to_json
from trainers.executors.protocol import (
    DONE,
    Assignment,
    CommandSpec,
    Spec,
    State,
    WorkSpec,
    title,
)
from trainers.training import Progress

T = TypeVar("T")

SPEC, PROCESS, PROGRESS, OUTCOME = "spec.json", "process.json", "progress.json", "outcome.json"
LOG, SCORED = "log.txt", "scored.json"


@record
class Asked:
    """The content of `spec.json`."""

    spec: Spec


@record
class Process:
    """Who works on a job."""

    ticket: str
    host: str
    pid: int
    began_at: str
    """UTC, ISO 8601."""


@record
class Outcome:
    """How a submission ended."""

    ticket: str
    state: State


def new_ticket() -> str:
    """A name for a submission that no other one has."""
    return secrets.token_hex(8)


def assign(assignment: Assignment) -> State | None:
    """Write down what is asked; how the job stands if it need not run, else None.

    A candidate's failure is as final as a success; a failure of ours is tried again. Raises
    UsageError when the folder is that of another job.
    """
    spec, folder = assignment.spec, assignment.folder
    if (folder / SPEC).exists():
        _require_same(read_spec(folder), spec, folder)
    if has_all(spec, folder):
        return DONE
    outcome = _read(Outcome, folder / OUTCOME)
    if outcome and outcome.state.error == "candidate":
        return outcome.state
    _make(folder, private=isinstance(spec, WorkSpec))
    write_atomically(folder / SPEC, to_json(Asked(spec=spec), indent=2).encode())
    return None


def has_all(spec: Spec, folder: Path) -> bool:
    """Whether all that is asked lies in the folder. Of work on a study one cannot tell."""
    if isinstance(spec, WorkSpec):
        return False
    if isinstance(spec, CommandSpec):
        return (folder / spec.result).exists()
    return (folder / "run.json").exists() and (not spec.score or (folder / SCORED).exists())


def read_spec(folder: Path) -> Spec:
    """What is asked. Raises DataError when there is nothing, RecordError when it is damaged."""
    try:
        return from_json(Asked, (folder / SPEC).read_bytes()).spec
    except OSError as error:
        raise DataError(f"no job in {folder}: {error.strerror}.") from None


def read_process(folder: Path) -> Process | None:
    """Who works on the job, or did last; None when nobody has begun."""
    return _read(Process, folder / PROCESS)


def read_progress(folder: Path) -> Progress | None:
    """How far the training in a folder is; None before its first few steps."""
    return _read(Progress, folder / PROGRESS)


def read_outcome(folder: Path, ticket: str) -> State | None:
    """How the submission ended; None while it has not."""
    outcome = _read(Outcome, folder / OUTCOME)
    return outcome.state if outcome and outcome.ticket == ticket else None


def write_outcome(folder: Path, ticket: str, state: State) -> None:
    """Say how the submission ended. Raises DataError when that fails."""
    write_atomically(folder / OUTCOME, to_json(Outcome(ticket=ticket, state=state)).encode())


def has_begun(folder: Path, ticket: str) -> bool:
    """Whether a process works for the submission."""
    process = read_process(folder)
    return process is not None and process.ticket == ticket


def after_exit(folder: Path, ticket: str, exit_code: int) -> State:
    """How a submission ended whose process has; exit_code: negative for a signal.

    A process that died of a signal has not said how it ended. One that exits by itself has, unless
    it could not even begin.
    """
    state = read_outcome(folder, ticket)
    if state is not None:
        return state
    if exit_code < 0:
        return State(name="lost", why=f"its process died of signal {-exit_code}")
    why = f"its process ended with exit code {exit_code}: {last_line(folder)}"
    return State(name="failed", why=why, error="harness")


def last_line(folder: Path) -> str:
    """The last line of a job's log, and where all of it is."""
    path = folder / LOG
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return f"{lines[-1][:300] if lines else 'it wrote nothing'} (all of it in {path})"


def _make(folder: Path, *, private: bool) -> None:
    """Make the folder; a private one for its owner alone, as the URL of a storage may be secret."""
    try:
        folder.mkdir(mode=0o700 if private else 0o777, parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot make the folder {folder}: {error.strerror}. Choose one you may write to."
        ) from None


def _require_same(there: Spec, asked: Spec, folder: Path) -> None:
    """Raise UsageError unless both are the same job."""
    if (there.verb, there.run_id) != (asked.verb, asked.run_id):
        raise UsageError(
            f"{folder} is the folder of another job: expected {asked.verb} {title(asked)} "
            f"({asked.run_id[:12]}), found {there.verb} {title(there)} ({there.run_id[:12]}). "
            "Name another folder."
        )


def _read(cls: type[T], path: Path) -> T | None:
    try:
        return from_json(cls, path.read_bytes())
    except FileNotFoundError:
        return None
