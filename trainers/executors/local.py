"""Jobs as processes of this machine: so many at a time, or one for each of some GPUs."""

from __future__ import annotations

import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.executors import process
from trainers.executors.folder import after_exit, assign, new_ticket
from trainers.executors.protocol import QUEUED, RUNNING, Assignment, State

CARDS_VARIABLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class _Submission:
    folder: Path
    state: State
    place: Mapping[str, str] | None = None
    """The variables of the place where it runs; None while it has none."""
    process: subprocess.Popen[bytes] | None = None


class LocalExecutor:
    """An `Executor` of one machine. Jobs wait in the order of their submission."""

    def __init__(self, num_jobs: int, cards: Sequence[str] = ()) -> None:
        """num_jobs: at a time. cards: GPUs as CUDA counts them; with some, a job for each."""
        places = [place_of(card) for card in cards] or [dict[str, str]() for _ in range(num_jobs)]
        self._places: deque[Mapping[str, str]] = deque(places)
        self._submissions: dict[str, _Submission] = {}

    def submit(self, assignment: Assignment) -> str:
        """See `Executor.submit`."""
        ticket, state = new_ticket(), assign(assignment)
        self._submissions[ticket] = _Submission(assignment.folder, state or QUEUED)
        self._go_on()
        return ticket

    def poll(self, ticket: str) -> State:
        """See `Executor.poll`."""
        self._go_on()
        return self._submissions[ticket].state

    def cancel(self, ticket: str) -> None:
        """See `Executor.cancel`."""
        self._cancel([ticket])
        self._go_on()

    def close(self) -> None:
        """See `Executor.close`."""
        self._cancel(self._submissions)

    def _cancel(self, tickets: Sequence[str] | Mapping[str, _Submission]) -> None:
        submissions = [self._submissions[ticket] for ticket in tickets]
        process.end([one.process for one in submissions if one.process])
        for one in submissions:
            if not one.state.is_final:
                one.state = State(name="lost", why="cancelled")
            self._vacate(one)

    def _go_on(self) -> None:
        """Note who has ended, and begin what waits as far as there is room."""
        for ticket, one in self._submissions.items():
            if one.process and (exit_code := one.process.poll()) is not None:
                one.state = after_exit(one.folder, ticket, exit_code)
                process.end([one.process])
                self._vacate(one)
        for ticket, one in self._submissions.items():
            if one.state is QUEUED and self._places:
                one.place = self._places.popleft()
                one.process = process.start(one.folder, ticket, one.place)
                one.state = RUNNING

    def _vacate(self, one: _Submission) -> None:
        if one.place is not None:
            self._places.append(one.place)
        one.place = one.process = None


def place_of(card: str) -> dict[str, str]:
    """The variables of a job that is to see one GPU alone, which it calls `cuda:0`."""
    return {CARDS_VARIABLE: card}
