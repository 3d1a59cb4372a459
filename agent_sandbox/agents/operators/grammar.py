"""The grammar as a set of operators: every search policy runs without a language model.

Drafts come in an order that the seed fixes, whatever the policy: first a single branch of every
kernel in turn, then genomes of any number of branches. So policies with one seed begin with the
same mechanisms. There is nothing to debug, because every genome is valid by construction, and
nothing that could reflect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from agent_sandbox.agents.grammar import (
    KERNELS,
    MAX_BRANCHES,
    Genome,
    draw_branch,
    draw_genome,
    genome_from_notes,
    genome_to_notes,
)
from agent_sandbox.agents.operators.protocol import Action, Operator
from agent_sandbox.agents.render import render
from agent_sandbox.agents.variation import Variation, cross, mutate, simplify
from lra_design.errors import RecordError, UsageError
from lra_design.records import Attempt, Proposal

_MAX_TRIES = 200
"""Candidates drawn before giving up on a source that is not in the history."""
_NUM_PLAIN = 50
"""Of them, those that are what was asked and no more; later ones are mutated besides."""


class GrammarOperators:
    """Draft, improve, crossover and simplify over the grammar; an `OperatorSet`."""

    name = "grammar"
    operators: frozenset[Operator] = frozenset({"draft", "improve", "crossover", "simplify"})

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        """A candidate that is neither in `history` nor in `pending`.

        Raises RecordError when a parent is not of the grammar, UsageError when nothing new is left.
        """
        earlier = [*(attempt.proposal for attempt in history), *pending]
        taken = {proposal.source for proposal in earlier}
        number = sum(proposal.operator == "draft" for proposal in earlier)
        place = f"draft/{number}" if action.operator == "draft" else f"{len(earlier)}"
        rng = random.Random(f"{self._seed}/grammar/{place}")
        parents = [genome_of(history[parent]) for parent in action.parents]
        for tries in range(_MAX_TRIES):
            made = self._vary(rng, action.operator, parents, number)
            if tries >= _NUM_PLAIN:
                further = mutate(rng, made.genome)
                made = Variation(further.genome, f"{made.change}; {further.change}")
            proposal = propose_genome(made.genome, made.change, action.operator)
            if proposal.source not in taken:
                return proposal
        raise UsageError(
            f"expected a new mechanism within {_MAX_TRIES} draws, found none after "
            f"{len(earlier)} attempts. Use another seed."
        )

    def _vary(
        self, rng: random.Random, operator: Operator, parents: Sequence[Genome], number: int
    ) -> Variation:
        match operator:
            case "draft":
                genome = self._draft(rng, number)
                return Variation(genome, f"first draw: {genome}")
            case "improve":
                return mutate(rng, parents[0])
            case "crossover":
                return cross(rng, parents[0], parents[1])
            case "simplify":
                return simplify(rng, parents[0])
        raise ValueError(f"expected one of {sorted(self.operators)}, found {operator!r}")

    def _draft(self, rng: random.Random, number: int) -> Genome:
        """The draft after `number` others."""
        if number >= len(KERNELS):
            return draw_genome(rng, rng.randint(1, MAX_BRANCHES))
        order = list(KERNELS)
        random.Random(f"{self._seed}/order").shuffle(order)
        return Genome(branches=(draw_branch(rng, order[number]),))


def genome_of(attempt: Attempt) -> Genome:
    """The genome of an attempt. Raises RecordError when it was not drawn from the grammar."""
    if "genome" not in attempt.proposal.notes:
        raise RecordError(
            f"expected a genome in the notes of attempt {attempt.index}, found "
            f"{sorted(attempt.proposal.notes)}. Another agent wrote this journal: start a new one."
        )
    return genome_from_notes(attempt.proposal.notes["genome"])


def propose_genome(
    genome: Genome, change: str, operator: str, parents: tuple[str, ...] = ()
) -> Proposal:
    """The genome as a candidate; its notes give it back to the agent."""
    return Proposal(
        source=render(genome),
        change=change,
        operator=operator,
        parents=parents,
        notes={"genome": genome_to_notes(genome)},
    )
