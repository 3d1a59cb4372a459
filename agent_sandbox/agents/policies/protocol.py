"""What a search policy is: it decides which attempts an operator is applied to next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from agent_sandbox.agents.operators.protocol import Action, Operator
from lra_design.records import Attempt


class Policy(Protocol):
    """A chooser of actions. Keeps nothing between calls: all follows from seed and history."""

    @property
    def name(self) -> str:
        """With the options that differ from their defaults, as `get_policy` reads it back."""

    @property
    def seed(self) -> int:
        """What its random numbers follow from."""

    def fitted_to(self, operators: frozenset[Operator]) -> Self:
        """This policy, asking for nothing that a set with these operators lacks.

        What it can do without it gives up, which its name then shows. Raises UsageError when it
        cannot do without an operator that is lacking.
        """

    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """What to do next; None when there is nothing more to do, whatever becomes of `pending`.

        history: every finished attempt, oldest first. pending: what is being evaluated and has no
        feedback yet, oldest first. The parents of the answer are places in `history`. Given the
        same two, the answer is the same; that is what makes an interrupted search resumable.
        """
