"""Many jobs, followed to their ends: a grid of trainings, or the workers of a study."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lra_design.errors import CandidateRefused, HarnessError, UsageError
from trainers.executors.protocol import QUEUED, Assignment, Executor, State

OnChange = Callable[[Assignment, str, State], None]
"""Called with a job, the ticket of its submission and how that stands, whenever that changes."""

MAX_LOSSES = 2
"""How often a job that was lost is submitted again."""
POLL_SECONDS = 0.5


@dataclass
class _Followed:
    assignment: Assignment
    ticket: str = ""
    state: State = QUEUED
    losses: int = 0


def run_jobs(
    executor: Executor,
    assignments: Sequence[Assignment],
    on_change: OnChange = lambda assignment, ticket, state: None,
    on_tick: Callable[[], None] = lambda: None,
    poll_seconds: float = POLL_SECONDS,
) -> list[State]:
    """Submit jobs and wait for all of them; how each ended, in their order.

    What is finished already is not repeated, what was interrupted goes on, and what is lost is
    submitted again, MAX_LOSSES times at most. on_change: may raise, to end everything. on_tick:
    called between two rounds. Whatever is raised, all that has not ended is cancelled first.
    """
    jobs = [_Followed(assignment) for assignment in assignments]
    try:
        for job in jobs:
            _submit(executor, job, on_change)
        while any([_follow(executor, job, on_change) for job in jobs]):
            on_tick()
            time.sleep(poll_seconds)
        on_tick()
    except BaseException:
        for job in jobs:
            if job.ticket and not job.state.is_final:
                executor.cancel(job.ticket)
        raise
    return [job.state for job in jobs]


def raise_failure(state: State) -> None:
    """Raise what a job that has not done what it was asked came to."""
    if state.name == "done":
        return
    if state.error == "candidate":
        raise CandidateRefused(state.findings)
    if state.error == "usage":
        raise UsageError(state.why)
    raise HarnessError(state.why if state.name == "failed" else f"a job was lost: {state.why}")


def _submit(executor: Executor, job: _Followed, on_change: OnChange) -> None:
    job.ticket, job.state = executor.submit(job.assignment), QUEUED
    on_change(job.assignment, job.ticket, job.state)


def _follow(executor: Executor, job: _Followed, on_change: OnChange) -> bool:
    """Look after one job; whether it still has to be followed."""
    if job.state.is_final:
        return False
    state = executor.poll(job.ticket)
    if state != job.state:
        job.state = state
        on_change(job.assignment, job.ticket, state)
    if state.name == "lost" and job.losses < MAX_LOSSES:
        job.losses += 1
        _submit(executor, job, on_change)
    return not job.state.is_final
