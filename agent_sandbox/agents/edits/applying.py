"""Edits applied to a parent exactly, all of them or none.

Every edit quotes lines of the parent and says what stands there instead. All are looked up in the
parent itself, so that their order does not matter and any subset of them can be applied alone.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass


class EditRejected(ValueError):
    """An edit that cannot be applied; the message is for whoever wrote it."""


@dataclass(frozen=True)
class Edit:
    """Lines of the parent and what replaces them."""

    search: tuple[str, ...]
    """Whole lines as they stand in the parent, without their ends; at least one."""
    replace: tuple[str, ...]
    line: int | None = None
    """Where the author says that `search` begins, from 1; only asked where it occurs repeatedly."""


def apply_edits(parent: str, edits: Sequence[Edit]) -> str:
    """The source that `edits` make of `parent`.

    Raises EditRejected, naming the edit and the reason, when one of them does not fit exactly one
    place, two overlap, or nothing would change.
    """
    lines = parent.split("\n")
    placed = sorted(
        (_place(lines, edit, number), number, edit) for number, edit in enumerate(edits, start=1)
    )
    for (start, number, edit), (after, other, _) in itertools.pairwise(placed):
        if after < start + len(edit.search):
            raise EditRejected(f"edits {number} and {other} overlap at line {after + 1}: join them")
    for start, _, edit in reversed(placed):
        lines[start : start + len(edit.search)] = edit.replace
    child = "\n".join(lines)
    if child == parent:
        raise EditRejected("the edits change nothing: what they put in is what stands there")
    return child


def _place(lines: Sequence[str], edit: Edit, number: int) -> int:
    """Index of the line at which `edit` begins."""
    if not any(line.strip() for line in edit.search):
        raise EditRejected(f"edit {number} quotes no line of the parent: quote the lines around it")
    starts = _occurrences(lines, edit.search)
    if len(starts) == 1:
        return starts[0]
    if not starts:
        raise EditRejected(f"edit {number} does not fit: {_nearest(lines, edit.search)}")
    if edit.line is not None and edit.line - 1 in starts:
        return edit.line - 1
    places = ", ".join(str(start + 1) for start in starts)
    raise EditRejected(
        f"edit {number} fits {len(starts)} places, at lines {places}: quote more lines around it"
    )


def _occurrences(lines: Sequence[str], search: Sequence[str]) -> list[int]:
    size, wanted = len(search), list(search)
    return [i for i in range(len(lines) - size + 1) if list(lines[i : i + size]) == wanted]


def _nearest(lines: Sequence[str], search: Sequence[str]) -> str:
    """Which lines of the parent resemble `search` most, and the first that differs."""
    wanted = "\n".join(search)
    starts = range(max(1, len(lines) - len(search) + 1))
    windows = {start: lines[start : start + len(search)] for start in starts}
    best = max(windows, key=lambda start: _likeness("\n".join(windows[start]), wanted))
    for offset, (found, expected) in enumerate(zip(windows[best], search, strict=False)):
        if found != expected:
            what = " only in its white space" if found.split() == expected.split() else ""
            return (
                f"the nearest lines begin at {best + 1}, and line {best + offset + 1} differs{what}"
                f": it is {found!r}, the edit quotes {expected!r}"
            )
    return f"it quotes {len(search)} lines, the parent has {len(lines)}"


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).quick_ratio()
