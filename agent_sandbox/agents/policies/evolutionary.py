"""Evolution on islands, each with an archive of the best of every kind of behaviour.

The archive is that of MAP-Elites (Mouret and Clune 2015, arXiv 1504.04909): a grid whose cells are
kinds of behaviour, here cost exponent by reach (`behaviour.py`), each of which keeps the fittest
of its kind, its *elite*. Parents are elites, so that a cheap mechanism, or one that reads far,
stays a parent though another kind scores better. Archives on several islands are how FunSearch
(Romera-Paredes et al. 2024, doi 10.1038/s41586-023-06924-6), ShinkaEvolve (Lange et al. 2025,
arXiv 2509.19349) and OpenEvolve (algorithmicsuperintelligence/openevolve) keep a search diverse.

Islands take turns. Every `migrate_every` nodes of each island the best of each comes to the next
one in the ring, where it competes like a child of that island; otherwise they share nothing.

Defaults: two islands as in ShinkaEvolve; crossovers half of the time as in AIRA-dojo
(`configs/solver/mlebench/evo.yaml`), once an island has two elites. Differences from MAP-Elites: a
parent is the fitter of two elites drawn at random, because a search here has dozens of evaluations
where theirs have thousands (`tournament=1` is theirs); migration comes as early for that reason.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.operators.protocol import Action
from agent_sandbox.agents.policies.behaviour import Cell, cell_of
from agent_sandbox.agents.policies.common import TreePolicy, check_least, check_shares
from agent_sandbox.agents.policies.tree import Node, fittest

Archive = dict[Cell, Node]
"""The elite of each cell that has one."""


@dataclass(frozen=True, kw_only=True)
class Evolutionary(TreePolicy):
    """Cross, simplify or improve elites, on islands."""

    kind = "evolutionary"

    num_drafts: int = 8
    num_islands: int = 2
    migrate_every: int = 5
    """Nodes of each island between two migrations."""
    crossover_share: float = 0.5
    simplify_share: float = 0.1
    tournament: int = 2
    """Elites drawn, of which the fittest is the parent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "num_islands", "migrate_every", "tournament")
        check_shares(self, "crossover_share", "simplify_share")
        if self.crossover_share + self.simplify_share > 1:
            raise ValueError(
                f"expected crossover_share and simplify_share of at most 1 together, "
                f"found {self.crossover_share} and {self.simplify_share}"
            )

    def expand(self, nodes: Sequence[Node], rng: random.Random) -> Action | None:
        """See `TreePolicy`."""
        island = len(nodes) % self.num_islands
        elites = list(self.archives(nodes)[island].values())
        if not elites:
            return None
        parent = self._drawn(rng, elites)
        others = [elite for elite in elites if elite is not parent]
        chance = rng.random()
        if others and chance < self.crossover_share:
            return Action(operator="crossover", parents=(parent.last, rng.choice(others).last))
        if chance > 1 - self.simplify_share:
            return Action(operator="simplify", parents=(parent.last,))
        return self.improving(parent)

    def archives(self, nodes: Sequence[Node]) -> list[Archive]:
        """The archive of each island. A node belongs to island `number % num_islands`."""
        archives: list[Archive] = [{} for _ in range(self.num_islands)]
        round_size = self.num_islands * self.migrate_every
        for node in nodes:
            _enter(archives[node.number % self.num_islands], node)
            if (node.number + 1) % round_size == 0:
                _migrate(archives)
        return archives

    def _drawn(self, rng: random.Random, elites: Sequence[Node]) -> Node:
        drawn = rng.sample(elites, min(self.tournament, len(elites)))
        return fittest(drawn, 1)[0]


def _enter(archive: Archive, node: Node) -> None:
    """Make the node the elite of its cell if it is fitter than the one there."""
    if node.feedback is None or node.fitness is None:
        return
    cell = cell_of(node.feedback)
    elite = archive.get(cell)
    if elite is None or elite.fitness is None or elite.fitness < node.fitness:
        archive[cell] = node


def _migrate(archives: Sequence[Archive]) -> None:
    """The best of each island enters the next one of the ring, all at once."""
    best = [fittest(archive.values(), 1) for archive in archives]
    for island, migrants in enumerate(best):
        for node in migrants:
            _enter(archives[(island + 1) % len(archives)], node)
