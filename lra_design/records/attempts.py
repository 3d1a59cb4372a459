"""What passes between an agent and its judge."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from lra_design.records.budgets import Spending
from lra_design.records.runs import Score
from lra_design.records.serialised import record
from lra_design.records.validation import Finding, ValidationReport


@record
class Feedback:
    """What an agent is told about one attempt: never anything of a test split."""

    report: ValidationReport
    scores: tuple[Score, ...] = ()
    """Validation scores, empty when the candidate is invalid or training failed."""
    failure: Finding | None = None
    """Why a valid candidate has no scores."""
    seconds: float = 0.0

    @property
    def mean_accuracy(self) -> float | None:
        """Mean over the scored tasks; None when there are none."""
        if not self.scores:
            return None
        return sum(score.accuracy for score in self.scores) / len(self.scores)


@record
class Proposal:
    """One candidate as its agent hands it in."""

    source: str
    change: str
    """What was changed against the parent, in one line."""
    operator: str
    """What made it: `draft`, `mutate`, `crossover`."""
    parents: tuple[str, ...] = ()
    """Source hashes."""
    parts: tuple[str, ...] = ()
    """What the change touches: `Gated.forward changed`. Empty without a parent."""
    notes: dict[str, Any] = field(default_factory=dict)
    """The agent's own; returned to it in the history."""


@record
class Attempt:
    """A proposal and what became of it: one row of the journal."""

    index: int
    source_hash: str
    code_hash: str
    """Equal for sources that differ in comments, layout and the like alone."""
    proposal: Proposal
    feedback: Feedback
    created_at: str
    spent: Spending
    """On this attempt alone."""
