"""Beam search: in each round every member of the beam is expanded, and the best are the next beam.

The best of the members *and* their children survive, so that a round that brings nothing loses
nothing. Round 0 is the drafts. A round ends when each node of it has scores or is given up.

Rounds are counted in nodes. Where a batch reaches beyond the end of a round whose scores are still
pending, the members of the known beam are expanded once more, and these nodes count in the next
round: nothing waits.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.common import TreePolicy, check_least
from agent_sandbox.agents.policies.tree import Node, fittest


@dataclass(frozen=True, kw_only=True)
class Beam(TreePolicy):
    """Keep `width` nodes, expand each of them `expansions` times a round."""

    kind = "beam"

    width: int = 3
    expansions: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "width", "expansions")

    def expand(self, nodes: Sequence[Node], rng: random.Random) -> Action | None:
        """See `TreePolicy`."""
        beam, start = self._current(nodes)
        if not beam:
            return None
        place = len(nodes) - start
        return self.improving(beam[place // self.expansions % len(beam)])

    def _current(self, nodes: Sequence[Node]) -> tuple[list[Node], int]:
        """The beam after the last round that has ended, and where the round after it begins."""
        beam: list[Node] = []
        start, end = 0, self.num_drafts
        while end <= len(nodes) and not any(node.pending for node in nodes[start:end]):
            beam = fittest([*beam, *nodes[start:end]], self.width)
            start, end = end, end + max(1, len(beam) * self.expansions)
        return beam, start
