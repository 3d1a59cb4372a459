"""What the policies have in common: options, a name, random numbers, drafts and debugs first."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from agent_sandbox.agents.operators.protocol import Action, Operator
from agent_sandbox.agents.policies.tree import Node, grow
from lra_design.errors import UsageError
from lra_design.records import Attempt

_CAN_DO_WITHOUT: dict[Operator, str] = {
    "debug": "debug_depth",
    "crossover": "crossover_share",
    "simplify": "simplify_share",
}
"""Operators that a set may lack, and the option that is 0 then. Without `debug` what failed stays
failed; what would have been a crossover or a simplification is an improvement."""


@dataclass(frozen=True, kw_only=True)
class DraftingPolicy(ABC):
    """A policy that drafts. Every field but the seed is an option, `name=value` in its text."""

    kind: ClassVar[str]
    """Its name without options."""

    seed: int = 0
    draft: Literal["draft", "reflect"] = "draft"
    """The operator that begins from nothing."""

    @property
    def name(self) -> str:
        """The kind, then what differs from the defaults: `greedy:num_drafts=3`."""
        changed = [
            f"{field.name}={getattr(self, field.name)}"
            for field in self.options()
            if getattr(self, field.name) != field.default
        ]
        return f"{self.kind}:{','.join(changed)}" if changed else self.kind

    @classmethod
    def options(cls) -> list[Any]:
        """The dataclass fields that are options, in the order of their names."""
        return sorted((f for f in fields(cls) if f.name != "seed"), key=lambda f: f.name)

    def needed(self) -> frozenset[Operator]:
        """The operators it cannot do without."""
        return frozenset({self.draft})

    def fitted_to(self, operators: frozenset[Operator]) -> Self:
        """See `Policy`."""
        lacking = self.needed() - operators
        if lacking:
            raise UsageError(
                f"policy '{self.name}' needs the operator {' and '.join(sorted(lacking))}, which "
                f"the operators at hand lack: they are {', '.join(sorted(operators))}. Choose "
                "another policy, or set its options to operators that are there."
            )
        names = {field.name for field in self.options()}
        given_up: dict[str, Any] = {
            option: type(getattr(self, option))(0)
            for operator, option in _CAN_DO_WITHOUT.items()
            if operator not in operators and option in names
        }
        return replace(self, **given_up)

    @abstractmethod
    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """See `Policy`."""

    def rng(self, history: Sequence[Attempt], pending: Sequence[Action]) -> random.Random:
        """Random numbers for this choice alone."""
        return random.Random(f"{self.seed}/{self.kind}/{len(history) + len(pending)}")


@dataclass(frozen=True, kw_only=True)
class TreePolicy(DraftingPolicy):
    """A policy that drafts, then debugs what failed, then expands what scored."""

    improve: Literal["improve", "reflect"] = "improve"
    """The operator that goes on from a parent."""
    num_drafts: int = 5
    debug_depth: int = 3
    """Debugs in a row before a failed attempt is given up; 0: none is tried."""
    debug_share: float = 1.0
    """How often something is debugged, where something can be."""

    def __post_init__(self) -> None:
        check_least(self, 1, "num_drafts")
        check_least(self, 0, "debug_depth")
        check_shares(self, "debug_share")

    def needed(self) -> frozenset[Operator]:
        """The operators it cannot do without."""
        return frozenset({self.draft, self.improve})

    def choose(self, history: Sequence[Attempt], pending: Sequence[Action] = ()) -> Action | None:
        """See `Policy`. There is always something to do here: a draft, if nothing else."""
        nodes, rng = grow(history, pending), self.rng(history, pending)
        if sum(not node.parents for node in nodes) < self.num_drafts:
            return Action(operator=self.draft)
        broken = [node for node in nodes if node.failed and node.num_debugs < self.debug_depth]
        if broken and rng.random() < self.debug_share:
            return Action(operator="debug", parents=(rng.choice(broken).last,))
        return self.expand(nodes, rng) or Action(operator=self.draft)

    @abstractmethod
    def expand(self, nodes: Sequence[Node], rng: random.Random) -> Action | None:
        """What to do with what scored; None when nothing that scored can be expanded."""

    def improving(self, node: Node) -> Action:
        """One change to `node`."""
        return Action(operator=self.improve, parents=(node.last,))


def check_least(policy: DraftingPolicy, least: int, *names: str) -> None:
    """Raise ValueError unless each of the options is at least that."""
    for name in names:
        if getattr(policy, name) < least:
            raise ValueError(f"expected {name} of at least {least}, found {getattr(policy, name)}")


def check_shares(policy: DraftingPolicy, *names: str) -> None:
    """Raise ValueError unless each of the options is in [0, 1]."""
    for name in names:
        if not 0 <= getattr(policy, name) <= 1:
            raise ValueError(f"expected {name} from 0 to 1, found {getattr(policy, name)}")
