"""What changed: the source of an entry against its parent's and the nearest known mechanism's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff
from functools import cache, lru_cache
from typing import Literal, NamedTuple

from leaderboards.contents import Search
from leaderboards.dossiers import Dossier
from lra_design.records import Attempt, Run
from mechanisms import REFERENCES, reference_hash, reference_source

MAX_COMPARED_LINES = 1_000
"""Of either source: a comparison may take their product."""
MAX_COMPARED_CHARACTERS = 100_000
"""Of either source."""


class Line(NamedTuple):
    """One line of a difference."""

    kind: Literal["same", "added", "removed", "place"]
    text: str


@dataclass(frozen=True)
class Diff:
    """From another source to the entry's."""

    other: str
    """What the other source is."""
    note: str
    lines: tuple[Line, ...] | None
    """Empty when both are equal; None when they are too long to be compared."""


class Ancestry:
    """Which attempt a source came from, and what it was made of."""

    def __init__(self, searches: Iterable[Search]) -> None:
        self._attempts: dict[str, tuple[Search, Attempt]] = {}
        for search in searches:
            for attempt in search.attempts:
                self._attempts.setdefault(attempt.source_hash, (search, attempt))

    def attempt_of(self, source_hash: str) -> tuple[Search, Attempt] | None:
        """The first attempt with that source; None when no search is known to have made it."""
        return self._attempts.get(source_hash)

    def diff_to_parent(self, run: Run) -> Diff | None:
        """None when the source has no parent, or that is not known."""
        found = self.attempt_of(run.source_hash)
        if found is None or not found[1].proposal.parents:
            return None
        parent = self._named_source(found[1].proposal.parents[0])
        if parent is None:
            return None
        name, source = parent
        lines = diff_lines(source, run.source)
        return Diff(f"its parent, {name}", found[1].proposal.change, lines)

    def _named_source(self, source_hash: str) -> tuple[str, str] | None:
        """An attempt or a reference: what it is, and its source."""
        found = self.attempt_of(source_hash)
        if found is not None:
            search, attempt = found
            name = attempt.feedback.report.mechanism or "no single mechanism"
            return f"attempt {attempt.index} of {search.name} ({name})", attempt.proposal.source
        reference = _references().get(source_hash)
        return (reference, reference_source(reference)) if reference else None


@cache
def _references() -> dict[str, str]:
    """Source hash to the name of a reference."""
    return {reference_hash(name): name for name in REFERENCES}


def diff_to_nearest(run: Run, dossier: Dossier | None) -> Diff | None:
    """None when no known mechanism was looked for, or its source is not at hand."""
    nearest = dossier.neighbours[0] if dossier and dossier.neighbours else None
    if nearest is None or nearest.name not in REFERENCES or not run.source:
        return None
    return Diff(
        other=f"{nearest.name}, the nearest known mechanism",
        note=f"distance {nearest.distance:.2f}",
        lines=diff_lines(reference_source(nearest.name), run.source),
    )


@lru_cache(maxsize=512)
def diff_lines(old: str, new: str) -> tuple[Line, ...] | None:
    """The changed lines with three lines around them; None when a source is too long."""
    if max(len(old), len(new)) > MAX_COMPARED_CHARACTERS:
        return None
    before, after = old.splitlines(), new.splitlines()
    if max(len(before), len(after)) > MAX_COMPARED_LINES:
        return None
    lines = unified_diff(before, after, lineterm="")
    return tuple(_line(line) for number, line in enumerate(lines) if number > 1)


def _line(line: str) -> Line:
    kinds: dict[str, Literal["added", "removed", "place"]] = {
        "+": "added",
        "-": "removed",
        "@": "place",
    }
    return Line(kinds.get(line[:1], "same"), line)
