"""Searches as the templates show them: what was tried, what it came to, what it cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from agent_sandbox.agents.search import total_spent
from leaderboards.contents import Search
from leaderboards.site.tree import Outcome, Tree, best_of, make_tree, outcome_of, parents_of
from lra_design.errors import RecordError
from lra_design.records import Attempt, Budget, Spending, from_json

WIDTH, HEIGHT = 320, 150
"""Of a plot of scores over what was spent, in SVG units."""
LEFT, BELOW, ABOVE = 34, 22, 10
"""Room for the labels of a plot."""
SPENT = {"attempts": "attempts", "device_seconds": "device-seconds", "tokens": "tokens"}
"""What scores are plotted over: fields of `Spending`, and their names."""


@dataclass(frozen=True)
class Curve:
    """The best accuracy so far over what had been spent until then."""

    what: str
    """Whose amounts stand to the right: a value of `SPENT`."""
    amounts: tuple[float, ...]
    """Spent in all after each attempt; empty where that is not known, or nothing was spent."""
    best: tuple[float | None, ...]
    """The best mean validation accuracy by then, in [0, 1]; None before the first."""

    @property
    def path(self) -> str:
        """The curve as SVG's `d`: it rises at the attempt that is better; empty without scores."""
        points = [(a, b) for a, b in zip(self.amounts, self.best, strict=False) if b is not None]
        if not points:
            return ""
        (first, low), later = points[0], points[1:]
        start = f"M{self.x(first)} {self.y(low)}"
        return start + "".join(f"H{self.x(amount)}V{self.y(best)}" for amount, best in later)

    @staticmethod
    def y(accuracy: float) -> str:
        """Where an accuracy stands, in SVG units."""
        return f"{HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * accuracy:.1f}"

    def x(self, amount: float) -> str:
        """Where an amount stands, in SVG units."""
        return f"{LEFT + (WIDTH - LEFT - ABOVE) * amount / self.amounts[-1]:.1f}"


@dataclass(frozen=True)
class OperatorRow:
    """What came of all attempts that one operator made."""

    operator: str
    num_attempts: int
    num_valid: int
    num_scored: int
    mean_gain: float | None
    """Percentage points above the better parent, over the attempts that scored as a parent did;
    None when there are none."""
    num_gains: int
    """How many attempts that is the mean of."""


@dataclass(frozen=True)
class SearchView:
    """One search."""

    key: str
    """Names its page."""
    search: Search

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """In their order."""
        return self.search.attempts

    @property
    def writer(self) -> str:
        """Who wrote the candidates, as the run was asked: a program, or an llm and a policy."""
        asked = self.search.settings
        if asked.get("agent"):
            return f"program {asked['agent']}"
        llm = asked.get("llm") or ("the grammar" if "llm" in asked else "not known")
        return f"{llm}, policy {asked.get('policy', 'not known')}"

    @property
    def settings(self) -> Mapping[str, str]:
        """What was asked, a line each, but for the budget."""
        asked = self.search.settings
        return {name: _told(value) for name, value in asked.items() if name != "budget"}

    @cached_property
    def outcomes(self) -> Mapping[Outcome, int]:
        """How many attempts came to what."""
        return Counter(map(outcome_of, self.attempts))

    @property
    def num_valid(self) -> int:
        """Attempts that the validator refused nothing of."""
        return self.outcomes["failed"] + self.outcomes["scored"]

    @property
    def best(self) -> Attempt | None:
        """The first with the best mean validation accuracy; None when none was scored."""
        index = best_of(self.attempts)
        return None if index is None else self.attempts[index]

    @cached_property
    def spent(self) -> Spending:
        """By all attempts together."""
        return total_spent(self.attempts)

    @cached_property
    def budget(self) -> Budget | None:
        """What it may spend; None where that is not known."""
        try:
            return from_json(Budget, json.dumps(self.search.settings["budget"]))
        except (KeyError, RecordError):
            return None

    @property
    def ended(self) -> str | None:
        """Which bound of its budget it reached; None while none is known to be."""
        return self.budget.reached(self.spent) if self.budget else None

    @cached_property
    def tree(self) -> Tree:
        """All attempts, drawn."""
        return make_tree(self.attempts)

    @property
    def curves(self) -> list[Curve]:
        """The best score over each thing that is spent."""
        return [_curve(self.attempts, name, what) for name, what in SPENT.items()]

    @property
    def operators(self) -> list[OperatorRow]:
        """What came of each operator, the one used most first."""
        return operator_rows(self.attempts)


def search_views(searches: Iterable[Search]) -> tuple[SearchView, ...]:
    """Each search, its key the place that it has among them."""
    return tuple(SearchView(str(i), search) for i, search in enumerate(searches, start=1))


def operator_rows(attempts: Sequence[Attempt]) -> list[OperatorRow]:
    """One row for each operator."""
    parents = parents_of(attempts)
    used = Counter(attempt.proposal.operator for attempt in attempts)
    return [_operator_row(name, attempts, parents) for name, _ in used.most_common()]


def _operator_row(
    name: str, attempts: Sequence[Attempt], parents: Sequence[tuple[int, ...]]
) -> OperatorRow:
    own = [attempt for attempt in attempts if attempt.proposal.operator == name]
    outcomes = Counter(map(outcome_of, own))
    gains = [gain for one in own if (gain := _gain(one, attempts, parents)) is not None]
    return OperatorRow(
        operator=name,
        num_attempts=len(own),
        num_valid=outcomes["failed"] + outcomes["scored"],
        num_scored=outcomes["scored"],
        mean_gain=sum(gains) / len(gains) if gains else None,
        num_gains=len(gains),
    )


def _gain(
    attempt: Attempt, attempts: Sequence[Attempt], parents: Sequence[tuple[int, ...]]
) -> float | None:
    """Percentage points above its best parent; None unless both have scores."""
    reached = attempt.feedback.mean_accuracy
    before = [attempts[parent].feedback.mean_accuracy for parent in parents[attempt.index]]
    known = [accuracy for accuracy in before if accuracy is not None]
    return None if reached is None or not known else 100 * (reached - max(known))


def _curve(attempts: Sequence[Attempt], name: str, what: str) -> Curve:
    amounts: list[float] = []
    best: list[float | None] = []
    total = 0.0
    for attempt in attempts:
        amount = getattr(attempt.spent, name)
        if amount is None:
            return Curve(what, (), ())
        total += amount
        amounts.append(total)
        reached = attempt.feedback.mean_accuracy
        known = [accuracy for accuracy in (*best[-1:], reached) if accuracy is not None]
        best.append(max(known, default=None))
    return Curve(what, tuple(amounts) if total > 0 else (), tuple(best))


def _told(value: Any) -> str:
    """A setting in words."""
    if value is None or value == []:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
