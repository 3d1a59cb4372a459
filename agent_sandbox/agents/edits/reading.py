"""Edits and files as they stand in a reply.

Two forms of edit are read. Search/replace blocks, whose markers stand alone on their lines:

    <<<<<<< SEARCH
    lines of the parent
    =======
    what replaces them
    >>>>>>> REPLACE

and a unified diff. Of a diff only the lines count: its line numbers, which are often miscounted,
choose between places that are alike, and nothing more.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from agent_sandbox.agents.edits.applying import Edit, EditRejected

SEARCH, DIVIDER, REPLACE = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@|@@(?: .*)?$")
_FENCE = re.compile(r"^(`{3,})([\w+-]*)[ \t]*\n(.*?)^\1[ \t]*$", re.MULTILINE | re.DOTALL)


def read_edits(reply: str) -> list[Edit]:
    """The edits of a reply, in the order in which they stand.

    Raises EditRejected when there are none, or when a block or a diff is not whole.
    """
    lines = reply.replace("\r\n", "\n").split("\n")
    blocks = list(_blocks(lines))
    if blocks:
        return blocks
    hunks = [hunk for part in _diffs(lines) for hunk in part]
    if not hunks:
        raise EditRejected(
            f"expected edits, found none. Begin each with a line '{SEARCH}', or give a unified "
            "diff in a fence of kind diff."
        )
    return hunks


def read_file(reply: str) -> str:
    """The one Python file of a reply: its longest fenced block.

    Raises EditRejected when there is none.
    """
    fences = _FENCE.finditer(reply.replace("\r\n", "\n"))
    files: list[str] = [fence[3] for fence in fences if fence[2] in ("", "py", "python")]
    if not files:
        raise EditRejected("expected the whole file in one fence of kind python, found none")
    return max(files, key=len)


def _blocks(lines: Sequence[str]) -> Iterator[Edit]:
    """The search/replace blocks."""
    rest = iter(lines)
    for line in rest:
        if line.rstrip() == SEARCH:
            search = _until(rest, DIVIDER)
            yield Edit(search=search, replace=_until(rest, REPLACE))


def _until(rest: Iterator[str], marker: str) -> tuple[str, ...]:
    """The lines before the next `marker`, which is taken too."""
    taken: list[str] = []
    for line in rest:
        if line.rstrip() == marker:
            return tuple(taken)
        if line.rstrip() == SEARCH:
            break
        taken.append(line)
    raise EditRejected(f"a block is not whole: expected a line '{marker}' before the next or end")


def _diffs(lines: Sequence[str]) -> Iterator[Iterator[Edit]]:
    """The hunks of each stretch of diff: from its first hunk to the end of its fence."""
    starts = [i for i, line in enumerate(lines) if _HUNK.match(line)]
    end = 0
    for start in starts:
        if start < end:
            continue
        end = next((i for i in range(start, len(lines)) if lines[i].startswith("```")), len(lines))
        yield _hunks(lines[start:end])


def _hunks(lines: Sequence[str]) -> Iterator[Edit]:
    starts = [i for i, line in enumerate(lines) if _HUNK.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        header = _HUNK.match(lines[start])
        number = int(header[1]) if header and header[1] else None
        yield _hunk(_without_file_header(lines[start + 1 : end]), number)


def _without_file_header(body: Sequence[str]) -> Sequence[str]:
    """The hunk without the names of the next file, if a diff names one."""
    for i, pair in enumerate(itertools.pairwise(body)):
        if pair[0].startswith("--- ") and pair[1].startswith("+++ "):
            return body[:i]
    return body


def _hunk(body: Sequence[str], line: int | None) -> Edit:
    """The edit of a hunk's lines; empty ones at its end are not of the parent."""
    while body and not body[-1]:
        body = body[:-1]
    search, replace = [], []
    for text in body:
        sign, rest = text[:1], text[1:]
        if sign not in ("", " ", "-", "+", "\\"):
            raise EditRejected(
                f"a line of a diff begins with ' ', '-' or '+', found {text[:40]!r}: give it whole"
            )
        if sign in ("", " ", "-"):
            search.append(rest)
        if sign in ("", " ", "+"):
            replace.append(rest)
    return Edit(search=tuple(search), replace=tuple(replace), line=line)
