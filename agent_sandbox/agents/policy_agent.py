"""An agent made of two parts: a policy that decides, and a set of operators that writes."""

from __future__ import annotations

from collections.abc import Sequence

from agent_sandbox.agents.operators.protocol import (
    Action,
    OperatorSet,
    action_of,
    with_action,
)
from agent_sandbox.agents.policies.protocol import Policy
from lra_design.records import Attempt, Proposal


class PolicyAgent:
    """A policy over a set of operators; an `Agent`."""

    def __init__(
        self, policy: Policy, operators: OperatorSet, only: frozenset[str] | None = None
    ) -> None:
        """only: operators that it may use; None: all of the set.

        Raises UsageError when the policy needs an operator that it may not use or the set lacks.
        """
        allowed = operators.operators if only is None else operators.operators & only
        self._policy = policy.fitted_to(allowed)
        self._operators = operators

    @property
    def name(self) -> str:
        """Policy, operators and the policy's seed: `greedy:num_drafts=3/grammar-s7`."""
        return f"{self._policy.name}/{self._operators.name}-s{self._policy.seed}"

    def propose(
        self, history: Sequence[Attempt], pending: Sequence[Proposal] = ()
    ) -> Proposal | None:
        """The next candidate; None when the policy has nothing more to do.

        Raises RecordError when an attempt of `history` is from an agent without a policy,
        ValueError when the policy chooses a parent that is not finished.
        """
        actions = [
            action_of(proposal, len(history) + place) for place, proposal in enumerate(pending)
        ]
        action = self._policy.choose(history, actions)
        if action is None:
            return None
        _check(action, len(history))
        return with_action(self._operators.apply(action, history, pending), action, history)


def _check(action: Action, num_finished: int) -> None:
    if any(not 0 <= parent < num_finished for parent in action.parents):
        raise ValueError(
            f"expected a policy to choose among the {num_finished} finished attempts, "
            f"found the parents {action.parents}"
        )
