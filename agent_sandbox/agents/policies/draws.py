"""The floors of every comparison: one draft, and the best of many drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.common import DraftingPolicy, check_least
from lra_design.records import Attempt


@dataclass(frozen=True, kw_only=True)
class OneShot(DraftingPolicy):
    """One draft, and nothing is made of its feedback: the floor of AIRA-Design's study."""

    kind = "one-shot"

    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """See `Policy`."""
        return None if history or pending else Action(operator=self.draft)


@dataclass(frozen=True, kw_only=True)
class BestOfN(DraftingPolicy):
    """Drafts that know nothing of each other's scores, of which the best is taken."""

    kind = "best-of-n"

    num_drafts: int | None = None
    """None: as many as the budget allows."""

    def __post_init__(self) -> None:
        if self.num_drafts is not None:
            check_least(self, 1, "num_drafts")

    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """See `Policy`."""
        if self.num_drafts is not None and len(history) + len(pending) >= self.num_drafts:
            return None
        return Action(operator=self.draft)
