"""A search drawn as a tree: where each attempt stands, and the lines between parents and children.

Generations go to the right. A first child stands in its parent's row and every other child begins a
row below, so that no two attempts share a place, no line from a first parent crosses another, and a
search of 500 attempts stays as narrow as its longest line of descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lra_design.records import Attempt

STEP_X, STEP_Y, RADIUS = 46, 32, 12
"""Between generations, between rows, and half an attempt's width, in SVG units."""

Outcome = Literal["invalid", "failed", "scored"]


@dataclass(frozen=True)
class Node:
    """One attempt in the tree."""

    index: int
    parents: tuple[int, ...]
    """Indices of earlier attempts; the line from the first is drawn through."""
    generation: int
    """One more than the latest parent's; 0 without parents."""
    row: int
    outcome: Outcome
    accuracy: float | None
    """Mean over the validation splits that it was scored on, in [0, 1]."""
    on_best_path: bool
    """Whether it is the best attempt, or its first parent, or that one's, and so on."""

    @property
    def x(self) -> int:
        """Of its middle, in SVG units."""
        return STEP_X // 2 + STEP_X * self.generation

    @property
    def y(self) -> int:
        """Of its middle, in SVG units."""
        return STEP_Y // 2 + STEP_Y * self.row


@dataclass(frozen=True)
class Line:
    """From a parent to its child."""

    path: str
    """As SVG's `d`."""
    kind: Literal["first", "other"]
    on_best_path: bool


@dataclass(frozen=True)
class Tree:
    """All attempts of a search, in their order, and the lines between them."""

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]

    @property
    def width(self) -> int:
        """In SVG units."""
        return STEP_X * (1 + max((node.generation for node in self.nodes), default=0))

    @property
    def height(self) -> int:
        """In SVG units."""
        return STEP_Y * (1 + max((node.row for node in self.nodes), default=0))


def outcome_of(attempt: Attempt) -> Outcome:
    """What became of it: refused by the validator, valid and without scores, or scored."""
    if not attempt.feedback.report.valid:
        return "invalid"
    return "scored" if attempt.feedback.scores else "failed"


def best_of(attempts: Sequence[Attempt]) -> int | None:
    """Index of the first attempt with the best mean accuracy; None when none was scored."""
    accuracies = [attempt.feedback.mean_accuracy for attempt in attempts]
    scored = [i for i, accuracy in enumerate(accuracies) if accuracy is not None]
    return max(scored, key=lambda i: accuracies[i] or 0.0, default=None)


def parents_of(attempts: Sequence[Attempt]) -> list[tuple[int, ...]]:
    """The indices of each attempt's parents, all of them earlier ones.

    A proposal names its parents by their hashes: the first attempt with such a source is meant, and
    a hash that no earlier attempt has is no parent.
    """
    first: dict[str, int] = {}
    found = []
    for index, attempt in enumerate(attempts):
        named = (first[name] for name in attempt.proposal.parents if name in first)
        found.append(tuple(dict.fromkeys(named)))
        first.setdefault(attempt.source_hash, index)
    return found


def make_tree(attempts: Sequence[Attempt]) -> Tree:
    """The tree of a search, whose attempts stand at their indices."""
    parents = parents_of(attempts)
    generations = _generations(parents)
    rows = _rows(parents)
    best = _path(best_of(attempts), parents)
    nodes = tuple(
        Node(
            index=index,
            parents=parents[index],
            generation=generations[index],
            row=rows[index],
            outcome=outcome_of(attempt),
            accuracy=attempt.feedback.mean_accuracy,
            on_best_path=index in best,
        )
        for index, attempt in enumerate(attempts)
    )
    return Tree(nodes, tuple(_line(nodes, child, place) for child, place in _pairs(nodes)))


def _generations(parents: Sequence[tuple[int, ...]]) -> list[int]:
    generations: list[int] = []
    for known in parents:
        generations.append(1 + max((generations[parent] for parent in known), default=-1))
    return generations


def _rows(parents: Sequence[tuple[int, ...]]) -> list[int]:
    """Depth first; without recursion, as a line of descent may be as long as the search."""
    children: list[list[int]] = [[] for _ in parents]
    roots: list[int] = []
    for index, known in enumerate(parents):
        (children[known[0]] if known else roots).append(index)
    rows, last = [0] * len(parents), -1
    waiting = roots[::-1]
    while waiting:
        index = waiting.pop()
        known = parents[index]
        if known and children[known[0]][0] == index:
            rows[index] = rows[known[0]]
        else:
            last += 1
            rows[index] = last
        waiting.extend(reversed(children[index]))
    return rows


def _path(best: int | None, parents: Sequence[tuple[int, ...]]) -> set[int]:
    """The best attempt and its first parents, up to a draft."""
    path: set[int] = set()
    while best is not None:
        path.add(best)
        best = next(iter(parents[best]), None)
    return path


def _pairs(nodes: Sequence[Node]) -> list[tuple[Node, int]]:
    """Each child with the place of each of its parents."""
    return [(node, place) for node in nodes for place in range(len(node.parents))]


def _line(nodes: Sequence[Node], child: Node, place: int) -> Line:
    parent = nodes[child.parents[place]]
    if place == 0:
        path = f"M{parent.x} {parent.y}V{child.y}H{child.x}"
        return Line(path, "first", child.on_best_path)
    middle = (parent.x + child.x) // 2
    path = f"M{parent.x} {parent.y}C{middle} {parent.y} {middle} {child.y} {child.x} {child.y}"
    return Line(path, "other", False)
