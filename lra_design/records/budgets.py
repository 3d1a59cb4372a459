"""What an agent may spend, and what it spent."""

from __future__ import annotations

from dataclasses import fields
from typing import TypeVar

from lra_design.records.serialised import record

T = TypeVar("T", int, float)


@record
class Spending:
    """What one attempt, or a whole search, took."""

    attempts: int = 1
    wall_seconds: float = 0.0
    """By the judge's clock, interruptions left out."""
    device_seconds: float = 0.0
    """Of validation and training, measured by the judge."""
    evaluations: int = 0
    """Candidates that were judged; one whose code was known before is not."""
    tokens: int | None = 0
    """Of all kinds, that the llm read and wrote; None where it did not say."""
    dollars: float | None = 0.0
    """What the llm asked for; None where a price is not known."""

    def __add__(self, other: Spending) -> Spending:
        return Spending(
            attempts=self.attempts + other.attempts,
            wall_seconds=self.wall_seconds + other.wall_seconds,
            device_seconds=self.device_seconds + other.device_seconds,
            evaluations=self.evaluations + other.evaluations,
            tokens=_sum(self.tokens, other.tokens),
            dollars=_sum(self.dollars, other.dollars),
        )


def _sum(one: T | None, other: T | None) -> T | None:
    """None where one of the two is not known."""
    return None if one is None or other is None else one + other


NOTHING = Spending(attempts=0)


@record
class Budget:
    """Bounds on what a search may spend: it ends with the first step that reaches one of them.

    A bound of None is none.
    """

    attempts: int | None = None
    wall_seconds: float | None = None
    device_seconds: float | None = None
    evaluations: int | None = None
    tokens: int | None = None
    dollars: float | None = None
    """A search whose cost is not known ends after one step under such a bound."""

    def reached(self, spent: Spending) -> str | None:
        """The first bound that is reached, in words; None while there is something left."""
        for field in fields(self):
            bound, amount = getattr(self, field.name), getattr(spent, field.name)
            if bound is not None and amount is None:
                return f"{field.name}: what was spent is not known, allowed {bound:g}"
            if bound is not None and amount >= bound:
                return f"{field.name}: {amount:g} of {bound:g} are spent"
        return None

    def left(self, spent: Spending) -> dict[str, float]:
        """What remains of each bound, never below 0; of those that are there and known."""
        pairs = {f.name: (getattr(self, f.name), getattr(spent, f.name)) for f in fields(self)}
        return {
            name: max(0, bound - amount)
            for name, (bound, amount) in pairs.items()
            if bound is not None and amount is not None
        }


PRESETS = {"study": Budget(attempts=500, wall_seconds=24 * 3600.0)}
"""`study`: 24 hours or 500 steps, as in AIRA-Design (arXiv 2605.15871)."""
