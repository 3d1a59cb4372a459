"""A program of somebody else as an agent: it asks at a desk, the search answers.

The program decides when to ask for what. Each `evaluate` is an attempt of the search, judged like
any other; its answer is given when the search has written it down. The agent is over when the
program ends, when it submits, or when the budget is spent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from agent_sandbox.agents.external.mailbox import Mailbox, Request
from agent_sandbox.agents.prompts.memory import outcome
from agent_sandbox.agents.search import total_spent
from lra_design.records import (
    NOTHING,
    Attempt,
    Budget,
    Finding,
    Proposal,
    Spending,
    ValidationReport,
)

POLL_SECONDS = 0.05
SUBMIT = "submit"
"""Operator of the attempt that the program wants to compete with."""
MAX_CHANGE = 200


class Program(Protocol):
    """The process that asks."""

    def ended(self) -> str | None:
        """How it ended, in words; None while it runs."""


class ExternalAgent:
    """An `Agent` whose proposals are the requests of `program`."""

    def __init__(
        self,
        name: str,
        mailbox: Mailbox,
        program: Program,
        budget: Budget,
        validate: Callable[[str], ValidationReport],
    ) -> None:
        self.name = name
        self._mailbox = mailbox
        self._program = program
        self._budget = budget
        self._validate = validate
        self._waiting: str | None = None
        self._asked = NOTHING
        self.end = ""
        """Why there are no more proposals."""

    def propose(
        self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal | None:
        """What the program asks to evaluate next; None when it is over. One at a time."""
        assert not pending, "a program waits for one answer at a time"
        self.answer(history)
        if history and history[-1].proposal.operator == SUBMIT:
            self.end = "it was submitted"
            return None
        self._asked, started = NOTHING, time.monotonic()
        while True:
            taken = self._mailbox.next()
            if taken is None:
                self.end = self._ended(history, time.monotonic() - started)
                if self.end:
                    return None
                time.sleep(POLL_SECONDS)
            elif (proposal := self._serve(*taken, history)) is not None:
                return proposal

    def answer(self, history: Sequence[Attempt]) -> None:
        """Tell the program what became of what it asked last."""
        if self._waiting is not None and history:
            self._mailbox.answer(self._waiting, self._told(history))
            self._waiting = None

    def spending(self, attempt: int) -> Spending:
        """What was asked for besides the attempts themselves: validations."""
        return self._asked

    def _serve(
        self, name: str, request: Request | None, history: Sequence[Attempt]
    ) -> Proposal | None:
        """Answer at once, or take the request for an attempt."""
        if request is None:
            return None
        if request.verb == "status":
            self._mailbox.answer(name, self._status(history))
        elif request.verb == "validate":
            report = self._validate(request.source)
            self._asked += Spending(attempts=0, device_seconds=report.seconds)
            self._mailbox.answer(name, _report(report))
        else:
            self._waiting = name
            return Proposal(
                source=request.source,
                change=request.change[:MAX_CHANGE] or "not described",
                operator=SUBMIT if request.verb == SUBMIT else "evaluate",
            )
        return None

    def _ended(self, history: Sequence[Attempt], waited: float) -> str:
        """How the program ended, or which bound is reached while it thinks or has files validated;
        empty while neither is."""
        spent = total_spent(history) + self._asked + Spending(attempts=0, wall_seconds=waited)
        return self._program.ended() or self._budget.reached(spent) or ""

    def _status(self, history: Sequence[Attempt]) -> dict[str, Any]:
        return {
            "attempts": [_summary(attempt) for attempt in history],
            "left": self._budget.left(total_spent(history) + self._asked),
        }

    def _told(self, history: Sequence[Attempt]) -> dict[str, Any]:
        attempt = history[-1]
        return {
            **_report(attempt.feedback.report),
            **_summary(attempt),
            "outcome": outcome(attempt),
            "left": self._budget.left(total_spent(history)),
        }


def _summary(attempt: Attempt) -> dict[str, Any]:
    scores = attempt.feedback.scores
    return {
        "attempt": attempt.index,
        "change": attempt.proposal.change,
        "valid": attempt.feedback.report.valid,
        "accuracy": attempt.feedback.mean_accuracy,
        "scores": {score.task: score.accuracy for score in scores},
        "failure": _finding(attempt.feedback.failure) if attempt.feedback.failure else None,
    }


def _report(report: ValidationReport) -> dict[str, Any]:
    return {"valid": report.valid, "findings": [_finding(f) for f in report.findings]}


def _finding(finding: Finding) -> dict[str, str]:
    names = ("check", "name", "tier", "expected", "found", "likely_cause", "hint", "where")
    return {name: getattr(finding, name) for name in names}
