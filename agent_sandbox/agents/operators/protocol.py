"""What a search policy asks for, and what answers it.

A policy decides *what* is done to *which* attempts and never sees how; a set of operators writes
the source and never decides. So every policy runs with every set: the grammar's needs no language
model. What was asked stands in the proposal, which makes the tree readable from a journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol, get_args

from lra_design.errors import RecordError
from lra_design.records import Attempt, Proposal, record

Operator = Literal["draft", "improve", "debug", "crossover", "simplify", "reflect"]
OPERATORS: tuple[Operator, ...] = get_args(Operator)
"""draft: something new, without parents. improve: one change to a parent that has scores. debug:
mend a parent that failed. crossover: of two parents with scores, one child. simplify: take away
from a parent with scores. reflect: as draft or improve, in rounds of writing and being judged."""

_KNOWN: dict[str, Operator] = {operator: operator for operator in OPERATORS}

PARENTS = "parents"
"""The key of a proposal's notes under which the indices of its parents stand. Their hashes would
not do: one source may stand in a journal twice."""


@record
class Action:
    """What is to be done next: an operator and the attempts it is applied to."""

    operator: Operator
    parents: tuple[int, ...] = ()
    """Indices of finished attempts."""


class OperatorSet(Protocol):
    """A writer of candidates that does what it is told. Keeps nothing between calls."""

    @property
    def name(self) -> str:
        """Shown beside the candidates it wrote."""

    @property
    def operators(self) -> frozenset[Operator]:
        """What it can do; a policy that cannot do without another one is refused at once."""

    def apply(
        self, action: Action, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal:
        """A candidate made as `action` says.

        history: every finished attempt, oldest first; the parents of `action` are places in it.
        pending: proposals that have no feedback yet, oldest first. The same three give the same
        proposal, if the set is reproducible; two equal actions in one batch differ in `pending`.
        Its own notes stay with the proposal; the key `parents` is the policy's.
        """


def with_action(proposal: Proposal, action: Action, history: Sequence[Attempt]) -> Proposal:
    """The proposal with what was asked for: its operator, its parents and their hashes."""
    return replace(
        proposal,
        operator=action.operator,
        parents=tuple(history[parent].source_hash for parent in action.parents),
        notes={**proposal.notes, PARENTS: list(action.parents)},
    )


def action_of(proposal: Proposal, index: int) -> Action:
    """The action that attempt `index` came from.

    Raises RecordError when no policy asked for it, or its parents are not earlier attempts.
    """
    operator, parents = _KNOWN.get(proposal.operator), proposal.notes.get(PARENTS)
    if operator is None or not isinstance(parents, list):
        raise RecordError(
            f"expected an operator and parents of attempt {index}, found '{proposal.operator}' "
            f"and notes of {sorted(proposal.notes)}. "
            "An agent without a search policy wrote this journal: start a new one."
        )
    if any(type(parent) is not int or not 0 <= parent < index for parent in parents):
        raise RecordError(
            f"expected parents before attempt {index}, found {parents}. "
            "This journal was changed by hand: restore it from a copy, or start a new one."
        )
    return Action(operator=operator, parents=tuple(parents))
