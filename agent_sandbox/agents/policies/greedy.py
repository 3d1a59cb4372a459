"""Greedy search, as in AIDE: a few drafts, then debug what failed or improve the best.

Jiang et al. 2025 (arXiv 2502.13138; WecoAI/aideml, `aide/agent.py`), whose defaults these are: 5
drafts, then with probability 0.5 a debug of a failed leaf, at most 3 in a row, else an improvement
of the best. AIRA-dojo (Toledo et al. 2025, arXiv 2507.02554; facebookresearch/aira-dojo,
`configs/solver/mlebench/greedy.yaml`) debugs always and up to a depth of 20:
`greedy:debug_share=1,debug_depth=20`.

A difference: both of those let one debug more than the depth they state happen in a row; here the
depth is kept.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.common import TreePolicy
from agent_sandbox.agents.policies.tree import Node, fittest


@dataclass(frozen=True, kw_only=True)
class Greedy(TreePolicy):
    """Improve the best, always."""

    kind = "greedy"

    debug_share: float = 0.5
    """How often something is debugged, where something can be."""

    def expand(self, nodes: Sequence[Node], rng: random.Random) -> Action | None:
        """See `TreePolicy`."""
        return next((self.improving(node) for node in fittest(nodes, 1)), None)
