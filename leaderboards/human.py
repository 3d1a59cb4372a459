"""Published results of systems designed by people: the anchors of the scores, with their sources.

The numbers stand in `published.tsv`. A number is an *anchor* only when it carries no flag: its
table was seen, the system learnt the task, from scratch, and others come near it. What is flagged
is shown, and nothing is computed from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import digits
from typing import Literal, cast

from leaderboards.published import Column, Row, Size, published_rows

Flag = Literal["unconfirmed", "secondary", "pretrained", "outlier", "failed"]

TASK_FAMILIES: dict[str, str] = {
    "listops-v1": "listops",
    "listops-release-v1": "listops",
    "text-v1": "text",
    "retrieval-v1": "retrieval",
    "image-v1": "image",
    "image-real-v1": "image-real",
    "pathfinder32-v1": "pathfinder",
    "pathfinder32-release-v1": "pathfinder",
    "pathx-v1": "pathx",
    "pathx-release-v1": "pathx",
}
"""Task id -> family of published results on the same data rules. A task that is absent has no
published result at its size."""

FAMILY_NOTES: dict[str, str] = {
    "text": "Published accuracies were selected on the test split, since LRA, S4 and S5 have no "
    "validation split: expect a run that holds one out a little lower. Under the same name some "
    "cut texts at 1,000 bytes.",
    "retrieval": "LRA's own recipe ends within its warm-up: the same softmax attention is "
    "published at 79 to 81 % in PyTorch.",
    "image": "These systems read pixels as 256 ids, as far as is known; those that read real "
    "numbers, as S4 does, are not comparable with them.",
    "image-real": "These systems read pixels as real numbers, as far as is known; those that read "
    "256 ids, as in the LRA paper, are not comparable with them.",
    "pathfinder": "The LRA paper's systems and those of the small size read pixels as 256 ids, S4 "
    "and its followers as real numbers: both stand in one list.",
    "pathx": "The LRA paper's systems read pixels as 256 ids and fail; those that learn Path-X "
    "read real numbers, where that is known.",
}
"""Family -> what must be known to read a gap to its published results, in whole sentences."""

FLAG_MEANING: dict[Flag, str] = {
    "unconfirmed": "quoted from memory, its table was not seen: never an anchor",
    "secondary": "quoted second-hand, no paper's table was seen: never an anchor",
    "pretrained": "pretrained on the task's own inputs: not an anchor for training from scratch",
    "outlier": "far from what anybody else reaches, and unexplained: never an anchor",
    "failed": "published as not learning at all, which is chance: never an anchor",
}

_CHANCE_OF_FAILURE = 0.5
"""Failures are published for Path-X alone, which has two classes."""


@dataclass(frozen=True, kw_only=True)
class HumanResult:
    """One published accuracy."""

    system: str
    mechanism: str | None
    """The reference of `mechanisms/` that mixes as it does; None: none of them."""
    task_family: str
    accuracy: float
    """In [0, 1]; chance where the flag `failed` says that the source has no number."""
    source: str
    """Where the number was read."""
    size: Size
    """As in the published table: `lra`, `small` or `full`."""
    flags: tuple[Flag, ...] = ()
    notes: str = ""

    @property
    def may_anchor(self) -> bool:
        """Whether a score may be computed from this number."""
        return not self.flags


def results(task_family: str) -> tuple[HumanResult, ...]:
    """Every published result of a family, best first; empty when there is none."""
    rows = [row for row in PUBLISHED if row.task_family == task_family]
    return tuple(sorted(rows, key=lambda row: (-row.accuracy, row.system)))


def anchor(task_family: str | None) -> HumanResult | None:
    """The human state of the art: the best result that may anchor, None when there is none."""
    rows = results(task_family) if task_family is not None else ()
    return next((row for row in rows if row.may_anchor), None)


def landmarks(task_family: str) -> tuple[HumanResult, ...]:
    """The few results that place a score: the state of the art and the softmax attentions."""
    best = anchor(task_family)
    rows = results(task_family)
    return tuple(row for row in rows if row is best or row.system in ("Transformer", "softmax"))


def resembled_family(task_id: str) -> str | None:
    """The family a task looks like without being comparable: `listops` for a smaller ListOps.

    It is the longest family that the id's first words spell, be there a size written onto them:
    `image-real` for `image-real-mini`, `pathfinder` for `pathfinder16-mini`.
    """
    if task_id in TASK_FAMILIES:
        return None
    words = task_id.split("-")
    names = ["-".join(words[:i]).rstrip(digits) for i in range(len(words), 0, -1)]
    return next((name for name in names if name in TASK_FAMILIES.values()), None)


def comparable_task(task_family: str) -> str:
    """The id of the task that a family's published results belong to."""
    return next(task for task, family in TASK_FAMILIES.items() if family == task_family)


def _results_of(row: Row) -> Iterator[HumanResult]:
    for column, percent in row.accuracies.items():
        failed = percent == "fail"
        flags = (*row.flags_of(column), *(["failed"] if failed else []))
        yield HumanResult(
            system=row.system,
            mechanism=row.mechanism,
            task_family=_family(row, column),
            accuracy=_CHANCE_OF_FAILURE if percent == "fail" else round(percent / 100, 6),
            source=row.source,
            size=row.size,
            flags=cast(tuple[Flag, ...], flags),
            notes=_notes(row, column),
        )


def _family(row: Row, column: Column) -> str:
    """The column, but for pictures read as real numbers, which are a family of their own."""
    return "image-real" if column == "image" and row.pixels.startswith("real") else column


def _notes(row: Row, column: Column) -> str:
    notes = row.notes_of(column)
    if column != "image" or not row.pixels.endswith("?"):
        return notes
    return "; ".join(filter(None, (notes, "whether it read ids or real numbers is not confirmed")))


PUBLISHED: tuple[HumanResult, ...] = tuple(
    result for row in published_rows() for result in _results_of(row)
)
