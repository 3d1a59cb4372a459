"""What executors of other machines have in common: they start something, and files say the rest."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from trainers.executors.folder import assign, has_begun, new_ticket, read_outcome
from trainers.executors.protocol import QUEUED, RUNNING, Assignment, State

Handle = TypeVar("Handle")

LAG_SECONDS = 10.0
"""What a shared folder may take to show here what was written elsewhere."""


@dataclass
class _Submission(Generic[Handle]):
    folder: Path
    handle: Handle
    state: State = QUEUED
    ended_at: float | None = None


class RemoteExecutor(ABC, Generic[Handle]):
    """An `Executor` whose jobs run under the control of another program."""

    def __init__(self) -> None:
        self._done: dict[str, State] = {}
        self._submissions: dict[str, _Submission[Handle]] = {}

    @abstractmethod
    def _start(self, folder: Path, ticket: str) -> Handle:
        """Have `process.run` called with both somewhere. Raises HarnessError."""

    @abstractmethod
    def _ending(self, handle: Handle, folder: Path, ticket: str) -> State | None:
        """How the job ended, apart from what its folder says; None while it has not."""

    @abstractmethod
    def _end(self, handle: Handle) -> None:
        """Have the job ended, wherever it is."""

    def submit(self, assignment: Assignment) -> str:
        """See `Executor.submit`."""
        ticket, state = new_ticket(), assign(assignment)
        if state is not None:
            self._done[ticket] = state
        else:
            handle = self._start(assignment.folder, ticket)
            self._submissions[ticket] = _Submission(assignment.folder, handle)
        return ticket

    def poll(self, ticket: str) -> State:
        """See `Executor.poll`."""
        if ticket in self._done:
            return self._done[ticket]
        state = self._look(self._submissions[ticket], ticket)
        if state.is_final:
            self._done[ticket] = state
        return state

    def cancel(self, ticket: str) -> None:
        """See `Executor.cancel`."""
        if ticket not in self._done:
            self._end(self._submissions[ticket].handle)
            self._done[ticket] = State(name="lost", why="cancelled")

    def close(self) -> None:
        """See `Executor.close`."""
        for ticket in self._submissions:
            self.cancel(ticket)

    def _look(self, one: _Submission[Handle], ticket: str) -> State:
        if (said := read_outcome(one.folder, ticket)) is not None:
            return said
        state = self._ending(one.handle, one.folder, ticket)
        if state is None:
            return RUNNING if has_begun(one.folder, ticket) else QUEUED
        if one.ended_at is None:
            one.ended_at = time.monotonic()
        is_settled = state.name == "lost" or time.monotonic() - one.ended_at > LAG_SECONDS
        return state if is_settled else RUNNING
