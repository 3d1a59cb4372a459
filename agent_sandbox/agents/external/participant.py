"""An agent as a class of three methods, run at the desk of this workspace.

    class Mine:
        def start(self, brief): ...        # what is asked, the budget, the rules: once
        def propose(self, history): ...    # the next Candidate to train; None: no more
        def choose(self, history): ...     # the Candidate that is to compete; None: submit nothing

    participant.run(Mine())

`lra-design design --agent "python FILE"` starts the file that holds this, in the workspace and
behind the walls: the class runs in the program's process, never in the judge's. It needs Python 3.8
and nothing else.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import desk

KEPT = pathlib.Path("history.jsonl")


class Candidate(NamedTuple):
    """A file to train."""

    source: str
    """The text of the file."""
    change: str = ""
    """One line on what is new, for the journal."""


class Tried(NamedTuple):
    """An attempt, and what became of it."""

    candidate: Candidate
    answer: dict[str, Any]
    """As `desk.evaluate` gives it: `valid`, `findings`, `scores`, `failure`, `left`."""

    @property
    def accuracy(self) -> float | None:
        """Mean of the validation accuracies, from 0 to 1; None without a training that ended."""
        value: float | None = self.answer["accuracy"]
        return value


class Participant(Protocol):
    """What an agent is. Its history outlives it: of a design that goes on it is told all again."""

    def start(self, brief: str) -> None:
        """Called once, first. brief: the text of BRIEF.md."""

    def propose(self, history: Sequence[Tried]) -> Candidate | None:
        """What to train next; None ends the search. history: every attempt, oldest first."""

    def choose(self, history: Sequence[Tried]) -> Candidate | None:
        """What competes, called last; None leaves it to the judge, who takes the best."""


def best(history: Sequence[Tried]) -> Tried | None:
    """The attempt with the best accuracy, of equals the first; None without any."""
    scored = [tried for tried in history if tried.accuracy is not None]
    return max(scored, key=lambda tried: tried.accuracy or 0.0, default=None)


def run(agent: Participant) -> None:
    """Let the agent propose until it has no more or one attempt is left, and submit its choice.

    A submission is an attempt. Where another bound is reached first, the desk closes, nothing is
    submitted, and the judge takes the best.
    """
    history = _kept()
    try:
        agent.start(pathlib.Path("BRIEF.md").read_text(encoding="utf-8"))
        while desk.status()["left"].get("attempts", 2) > 1:
            candidate = agent.propose(tuple(history))
            if candidate is None:
                break
            history.append(_tried(candidate))
        chosen = agent.choose(tuple(history))
        if chosen is not None:
            _answered(desk.submit(*chosen))
    except desk.Closed as closed:
        print(f"the desk has closed: {closed}")


def _tried(candidate: Candidate) -> Tried:
    """Have a candidate judged, and keep what became of it for a program that is started again."""
    tried = Tried(candidate, _answered(desk.evaluate(*candidate)))
    with KEPT.open("a", encoding="utf-8") as file:
        file.write(json.dumps(tried) + "\n")
    return tried


def _answered(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise SystemExit(f"the desk refused a candidate: {answer['error']}")
    return answer


def _kept() -> list[Tried]:
    """The attempts of an earlier start; a line that was cut off, and what follows, is left out."""
    history: list[Tried] = []
    if not KEPT.exists():
        return history
    for line in KEPT.read_text(encoding="utf-8").splitlines():
        try:
            candidate, answer = json.loads(line)
        except ValueError:
            break
        history.append(Tried(Candidate(*candidate), answer))
    return history
