"""Improve one's own best until that brings nothing more, and say where it stopped.

A fixed point of an agent is a mechanism that it cannot make better: so many rounds in a row, each
one change to the best there was, gained no more than chance would. Gains are counted from the last
one that was real, so that many small ones add up to one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.common import check_least
from agent_sandbox.agents.policies.greedy import Greedy
from agent_sandbox.agents.policies.tree import Node, grow
from lra_design.records import Attempt


@dataclass(frozen=True, kw_only=True)
class FixedPoint(Greedy):
    """Greedy, until `rounds` in a row bring nothing beyond the noise."""

    kind = "fixed-point"

    num_drafts: int = 1
    rounds: int = 5
    """In a row without a gain, after which it is over."""
    noise: float | None = None
    """Standard deviation of the mean accuracy over seeds, in [0, 1]; None: any gain counts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "rounds")
        if self.noise is not None:
            check_least(self, 0, "noise")

    @property
    def margin(self) -> float:
        """What a gain must exceed: twice the deviation of a difference of two trainings."""
        return 2 * math.sqrt(2) * (self.noise or 0.0)

    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """See `Policy`."""
        _, num_idle = self._standing(grow(history, pending))
        return None if num_idle >= self.rounds else super().choose(history, pending)

    def ending(self, history: Sequence[Attempt]) -> str | None:
        """Where it stopped and why; None while it has not."""
        best, num_idle = self._standing(grow(history, ()))
        if best is None or best.fitness is None or num_idle < self.rounds:
            return None
        return (
            f"a fixed point: {num_idle} rounds after attempt {best.last} "
            f"({100 * best.fitness:.1f} %) gained no more than {100 * self.margin:.1f} points"
        )

    def _standing(self, nodes: Sequence[Node]) -> tuple[Node | None, int]:
        """The last real gain, and how many rounds there were since; what failed is a round too."""
        best: Node | None = None
        num_idle = 0
        for node in nodes:
            if node.pending:
                continue
            before = None if best is None else best.fitness
            if node.fitness is not None and (before is None or node.fitness > before + self.margin):
                best, num_idle = node, 0
            elif node.parents:
                num_idle += 1
        return best, num_idle
