"""Monte Carlo tree search by UCT over the tree of attempts.

Kocsis and Szepesvari 2006 (doi 10.1007/11871842_29), with the parameters of AIRA-dojo (Toledo et
al. 2025, arXiv 2507.02554; facebookresearch/aira-dojo, `configs/solver/mlebench/mcts.yaml`): five
children, exploration 0.25, rewards normalised between the worst and the best fitness seen, no
roll-outs: the reward of a node is its own fitness.

Differences from AIRA-dojo: one child at a time, and the choice is made anew after each; what
failed for good counts as a visit with reward 0, and is never expanded; a pending node counts like
that too, so that a batch spreads (the virtual loss of Chaslot et al. 2008, doi
10.1007/978-3-540-87608-3_6).

Visits and rewards are not kept: they are summed up from the history each time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.common import TreePolicy, check_least
from agent_sandbox.agents.policies.tree import Node


@dataclass
class _Branch:
    """A node with what lies below it."""

    node: Node
    num_visits: int = 1
    total_reward: float = 0.0
    children: list[_Branch] = field(default_factory=list)
    expandable: bool = False
    """Whether it, or something below it, may still get a child."""

    def uct(self, parent_visits: int, exploration: float) -> float:
        """Mean reward, and a bonus for what was seldom visited."""
        bonus = math.sqrt(math.log(parent_visits) / self.num_visits)
        return self.total_reward / self.num_visits + exploration * bonus


@dataclass(frozen=True, kw_only=True)
class MonteCarloTreeSearch(TreePolicy):
    """Walk down by upper confidence bounds to a node with room for a child."""

    kind = "mcts"

    num_children: int = 5
    """Improvements of one node before its children are looked at."""
    exploration: float = 0.25
    """Weight of the bonus for what was seldom visited, rewards being in [0, 1]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "num_children")
        if not 0 <= self.exploration < math.inf:
            raise ValueError(
                f"expected exploration of at least 0 and finite, found {self.exploration}"
            )

    def expand(self, nodes: Sequence[Node], rng: random.Random) -> Action | None:
        """See `TreePolicy`."""
        below, parent_visits, chosen = self._drafts(nodes), len(nodes), None
        while chosen is None or len(chosen.children) >= self.num_children:
            expandable = [branch for branch in below if branch.expandable]
            if not expandable:
                return None
            bounds = [branch.uct(parent_visits, self.exploration) for branch in expandable]
            chosen = expandable[bounds.index(max(bounds))]
            below, parent_visits = chosen.children, chosen.num_visits
        return self.improving(chosen.node)

    def _drafts(self, nodes: Sequence[Node]) -> list[_Branch]:
        """The tree by its first nodes, everything below already counted upwards."""
        rewards = _rewards(nodes)
        branches = [
            _Branch(node, total_reward=reward) for node, reward in zip(nodes, rewards, strict=True)
        ]
        for branch in reversed(branches):  # children before parents
            has_room = len(branch.children) < self.num_children
            below = any(child.expandable for child in branch.children)
            branch.expandable = branch.node.fitness is not None and (has_room or below)
            branch.children.reverse()
            for parent in branch.node.parents[:1]:
                branches[parent].children.append(branch)
                branches[parent].num_visits += branch.num_visits
                branches[parent].total_reward += branch.total_reward
        return [branch for branch in branches if not branch.node.parents]


def _rewards(nodes: Sequence[Node]) -> list[float]:
    """The fitness of each node between the worst and the best seen; 0 without one."""
    seen = [node.fitness for node in nodes if node.fitness is not None]
    low, high = min(seen, default=0.0), max(seen, default=0.0)
    if low == high:
        return [0.0 if node.fitness is None else 0.5 for node in nodes]
    return [0.0 if node.fitness is None else (node.fitness - low) / (high - low) for node in nodes]
