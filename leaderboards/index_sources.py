"""What the index reads of each file, and the rows that it makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent_sandbox.agents.journal import Journal
from leaderboards.columns import ATTEMPTS, FINDINGS, Columns
from leaderboards.contents import JOURNAL, SETTINGS, read_settings
from leaderboards.dossiers import FILE_NAME as DOSSIERS
from leaderboards.dossiers import decode_dossier
from leaderboards.rows import Row, attempt_row, finding_rows
from leaderboards.store import decode_run
from lra_design.line_file import LineFile

Values = tuple[Any, ...]


class Records(NamedTuple):
    """A file as it was read."""

    head: bytes
    """What every record of it depends on: the settings of a search."""
    lines: Sequence[bytes]


def read_records(file: Path) -> Records:
    """The records of a file, not decoded. Raises DataError or RecordError."""
    if file.name != JOURNAL:
        return Records(b"", LineFile(file).lines())
    settings = file.with_name(SETTINGS)
    head = settings.read_bytes() if settings.exists() else b""
    rows = Journal(file).rows()
    return Records(head, [f"{index} {text}".encode() for index, text in rows])


def decoded(
    file: Path, search: str, lines: Sequence[bytes], start: int
) -> Iterator[tuple[str, int, Values]]:
    """Table, number of the record and values of each row that the records from `start` on make.

    search: what a journal is called. Raises RecordError naming a damaged record.
    """
    if file.name == JOURNAL:
        yield from _journal_rows(file, search, lines, start)
        return
    table, decode = ("dossiers", decode_dossier) if file.name == DOSSIERS else ("runs", decode_run)
    for number, line in enumerate(lines[start:], start=start):
        decode(line, f"{file}, line {number + 1}")
        yield table, number, (line.decode("utf-8"),)


def _journal_rows(
    file: Path, search: str, lines: Sequence[bytes], start: int
) -> Iterator[tuple[str, int, Values]]:
    journal, agent = Journal(file), agent_name(read_settings(file.with_name(SETTINGS)))
    for number, line in enumerate(lines[start:], start=start):
        index, _, text = line.decode().partition(" ")
        attempt = journal.decode(number, int(index), text)
        yield "attempts", number, _values(attempt_row(search, agent, attempt), ATTEMPTS)
        for row in finding_rows(search, attempt):
            yield "findings", number, _values(row, FINDINGS)


def _values(row: Row, columns: Columns) -> Values:
    return tuple(row[column] for column in columns)


def agent_name(settings: Mapping[str, Any]) -> str | None:
    """`greedy/anthropic:NAME`, `evolution`, or a program's command; None without settings."""
    if settings.get("agent"):
        return str(settings["agent"])
    names = [str(settings[key]) for key in ("policy", "llm") if settings.get(key)]
    return "/".join(names) or None
