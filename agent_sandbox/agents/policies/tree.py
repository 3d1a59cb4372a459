"""What policies see of a search: its tree, read from the history alone.

A node is an attempt together with the debugs of it: a debug mends its parent and takes its place,
it is no child. So a node has failed only when the last debug of it has, and every other operator's
parent is a node with scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from agent_sandbox.agents.operators.protocol import Action, action_of
from lra_design.records import Attempt, Feedback


@dataclass(frozen=True, kw_only=True)
class Node:
    """An attempt and the debugs of it, one after the other."""

    number: int
    """Its place among the nodes, by the first attempt of each."""
    parents: tuple[int, ...]
    """Numbers of nodes."""
    attempts: tuple[int, ...]
    """Indices: the first is no debug, each later one debugs the one before."""
    feedback: Feedback | None
    """On the last attempt; None while that is pending."""

    @property
    def last(self) -> int:
        """Index of the attempt that stands for the node."""
        return self.attempts[-1]

    @property
    def fitness(self) -> float | None:
        """Mean validation accuracy; None while it is pending and when it failed."""
        return None if self.feedback is None else self.feedback.mean_accuracy

    @property
    def pending(self) -> bool:
        """Whether the last attempt has no feedback yet."""
        return self.feedback is None

    @property
    def failed(self) -> bool:
        """Whether the last attempt is invalid, or could not be trained."""
        return self.feedback is not None and self.feedback.mean_accuracy is None

    @property
    def num_debugs(self) -> int:
        """How many debugs in a row ended here."""
        return len(self.attempts) - 1


def grow(history: Sequence[Attempt], pending: Sequence[Action]) -> list[Node]:
    """The tree of a search: its nodes, oldest first.

    Raises RecordError when an attempt was not made by a policy.
    """
    nodes: list[Node] = []
    owners: list[int] = []
    for index, (action, feedback) in enumerate(_steps(history, pending)):
        number = len(nodes)
        if action.operator == "debug":
            number = owners[action.parents[0]]
            attempts = (*nodes[number].attempts, index)
            nodes[number] = replace(nodes[number], attempts=attempts, feedback=feedback)
        else:
            parents = tuple(owners[parent] for parent in action.parents)
            nodes.append(Node(number=number, parents=parents, attempts=(index,), feedback=feedback))
        owners.append(number)
    return nodes


def _steps(
    history: Sequence[Attempt], pending: Sequence[Action]
) -> Iterator[tuple[Action, Feedback | None]]:
    for index, attempt in enumerate(history):
        yield action_of(attempt.proposal, index), attempt.feedback
    for action in pending:
        yield action, None


def fittest(nodes: Iterable[Node], count: int) -> list[Node]:
    """The best nodes that have a fitness, at most `count`, the older of equal ones first."""
    scored = [(node.fitness, node) for node in nodes if node.fitness is not None]
    return [node for _, node in sorted(scored, key=lambda pair: -pair[0])[:count]]
