"""The offline agent: regularised (ageing) evolution over the grammar, no language model needed.

Real, Aggarwal, Huang and Le 2019, "Regularized Evolution for Image Classifier Architecture Search"
(arXiv 1802.01548): the parent is the best of a random sample of the population, and the oldest
member dies, however good. Three differences suit a search of a few dozen evaluations: the first
members are drawn so that every kernel of the grammar has its turn before any score is looked at;
a child comes about as often from two parents (one branch of the second beside the first) as from a
mutation; and the second parent is the one of its sample that is better where the first is weak, as
in lexicase selection (Helmuth, Spector and Matheson 2015, doi 10.1109/TEVC.2014.2362729), so that
a specialist with a poor mean is not lost.

Nothing is kept between calls. The random numbers of a proposal follow from the seed and the number
of proposals before it, so a search that was interrupted goes on exactly as it would have.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from agent_sandbox.agents.grammar import KERNELS, Genome, draw_branch
from agent_sandbox.agents.operators.grammar import genome_of, propose_genome
from agent_sandbox.agents.variation import cross, mutate
from lra_design.errors import UsageError
from lra_design.records import Attempt, Proposal

_MAX_TRIES = 200
"""Proposals drawn before giving up on a source that is not in the history."""


@dataclass(frozen=True)
class _Member:
    """A scored attempt, as a parent sees it."""

    genome: Genome
    source_hash: str
    fitness: float
    scores: dict[str, float]
    """Accuracy by task."""

    def complement(self, other: _Member) -> float:
        """What `other` would add where it is the better one: the sum over their common tasks."""
        common = self.scores.keys() & other.scores.keys()
        return sum(max(0.0, other.scores[task] - self.scores[task]) for task in common)


class RegularisedEvolution:
    """Ageing evolution; an `Agent`. Attempts without scores are never parents."""

    def __init__(
        self,
        seed: int,
        *,
        num_drafts: int = 10,
        population_size: int = 12,
        sample_size: int = 8,
        crossover_share: float = 0.5,
    ) -> None:
        if not 1 <= sample_size <= population_size:
            raise ValueError(
                f"expected 1 <= sample_size <= population_size, "
                f"found {sample_size} and {population_size}"
            )
        self._seed = seed
        self._num_drafts = num_drafts
        self._population_size = population_size
        self._sample_size = sample_size
        self._crossover_share = crossover_share

    @property
    def name(self) -> str:
        """`evolution-s` and the seed."""
        return f"evolution-s{self._seed}"

    def propose(self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()) -> Proposal:
        """The next candidate: a first draw, or a child of what scored.

        Raises RecordError when an attempt of `history` is not from this agent.
        """
        index = len(history) + len(pending)
        rng = random.Random(f"{self._seed}/{index}")
        taken = {attempt.proposal.source for attempt in history}
        taken.update(proposal.source for proposal in pending)
        members = _members(history)[-self._population_size :]
        for _ in range(_MAX_TRIES):
            if index < self._num_drafts or not members:
                proposal = self._draft(rng, index)
            else:
                proposal = self._child(rng, members)
            if proposal.source not in taken:
                return proposal
        raise UsageError(
            f"expected a new mechanism within {_MAX_TRIES} draws, found none after "
            f"{index} attempts. Use another seed or a larger population."
        )

    def _draft(self, rng: random.Random, index: int) -> Proposal:
        """A single branch whose kernel is the next of a random order: all kernels in turn."""
        order = list(KERNELS)
        random.Random(f"{self._seed}/order").shuffle(order)
        genome = Genome(branches=(draw_branch(rng, order[index % len(order)]),))
        return propose_genome(genome, f"first draw: {genome}", "draft")

    def _child(self, rng: random.Random, members: Sequence[_Member]) -> Proposal:
        parent = max(self._sample(rng, members), key=lambda member: member.fitness)
        others = [member for member in members if member != parent]
        if others and rng.random() < self._crossover_share:
            other = max(self._sample(rng, others), key=parent.complement)
            crossed = cross(rng, parent.genome, other.genome)
            parents = (parent.source_hash, other.source_hash)
            return propose_genome(crossed.genome, crossed.change, "crossover", parents)
        mutated = mutate(rng, parent.genome)
        return propose_genome(mutated.genome, mutated.change, "mutate", (parent.source_hash,))

    def _sample(self, rng: random.Random, members: Sequence[_Member]) -> list[_Member]:
        return rng.sample(members, min(self._sample_size, len(members)))


def _members(history: Sequence[Attempt]) -> list[_Member]:
    """The attempts that have a fitness, oldest first."""
    members = []
    for attempt in history:
        fitness = attempt.feedback.mean_accuracy
        if fitness is not None:
            scores = {score.task: score.accuracy for score in attempt.feedback.scores}
            members.append(_Member(genome_of(attempt), attempt.source_hash, fitness, scores))
    return members
