"""The memory of a search: every attempt, and every word that passed with an llm, in one file.

The file is an SQLite database that is only ever added to. Each row holds a record as JSON; the
other columns are computed from it, for whoever asks with SQL:

    sqlite3 runs/mine/journal.sqlite "select attempt, operator, accuracy from attempts"

A row whose `append` returned is on the disk, and one that was being written when its writer was
killed is not there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lra_design.errors import DataError, RecordError
from lra_design.records import Attempt, from_json, to_json

_SCHEMA = """
create table if not exists attempts (
    attempt integer primary key check (attempt >= 0),
    record text not null check (json_valid(record)),
    operator text as (json_extract(record, '$.proposal.operator')),
    parents text as (json_extract(record, '$.proposal.parents')),
    change text as (json_extract(record, '$.proposal.change')),
    source text as (json_extract(record, '$.proposal.source')),
    source_hash text as (json_extract(record, '$.source_hash')),
    code_hash text as (json_extract(record, '$.code_hash')),
    report text as (json_extract(record, '$.feedback.report')),
    scores text as (json_extract(record, '$.feedback.scores')),
    wall_seconds real as (json_extract(record, '$.spent.wall_seconds')),
    device_seconds real as (json_extract(record, '$.spent.device_seconds')),
    tokens integer as (json_extract(record, '$.spent.tokens')),
    dollars real as (json_extract(record, '$.spent.dollars')),
    created_at text as (json_extract(record, '$.created_at'))
);
create table if not exists exchanges (
    exchange integer primary key autoincrement,
    attempt integer not null,
    request text not null,
    record text not null check (json_valid(record)),
    prompt text as (json_extract(record, '$.prompt')),
    reply text as (json_extract(record, '$.reply.text'))
);
"""
_KEPT = "".join(
    f"create trigger if not exists {table}_keep_{verb} before {verb} on {table} "
    f"begin select raise(abort, 'a journal is only ever added to'); end;"
    for table in ("attempts", "exchanges")
    for verb in ("update", "delete")
)
WAIT_SECONDS = 30.0
"""For another process that is writing."""


class Journal:
    """The attempts of one search in one file, which is made by the first row."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def attempts(self) -> list[Attempt]:
        """Every finished attempt, oldest first; none when there is no file yet.

        Raises RecordError naming the damaged row, DataError when the file cannot be read.
        """
        return [self.decode(place, *row) for place, row in enumerate(self.rows())]

    def rows(self) -> list[tuple[object, str]]:
        """The number and the JSON of every finished attempt, as they stand in the file.

        Raises as `attempts` does where the file is no journal.
        """
        return list(self._select("select attempt, record from attempts order by attempt"))

    def append(self, attempt: Attempt) -> None:
        """Add `attempt` and wait until it is on the disk.

        Raises DataError when it cannot be written, and then the journal is as it was. Raises
        RecordError when it is not the next attempt of this journal.
        """
        with self._writing() as connection:
            (number,) = connection.execute("select count(*) from attempts").fetchone()
            if number != attempt.index:
                raise RecordError(
                    f"expected attempt {number} next in {self.path}, found attempt "
                    f"{attempt.index}. Another search writes this journal: stop one of them."
                )
            values = (attempt.index, to_json(attempt))
            connection.execute("insert into attempts (attempt, record) values (?, ?)", values)

    def exchanges(self, attempt: int) -> list[tuple[str, str]]:
        """The request and the record of what passed with an llm for that attempt, in order."""
        return self._select(
            "select request, record from exchanges where attempt = ? order by exchange", (attempt,)
        )

    def num_exchanges(self) -> int:
        """How often an llm has answered."""
        return len(self._select("select request, record from exchanges"))

    def keep_exchange(self, attempt: int, request: str, record: str) -> None:
        """Add what passed with an llm: `request` identifies the question, `record` is JSON."""
        with self._writing() as connection:
            connection.execute(
                "insert into exchanges (attempt, request, record) values (?, ?, ?)",
                (attempt, request, record),
            )

    def decode(self, place: int, index: object, text: str) -> Attempt:
        """The attempt of a row. Raises RecordError when it is damaged, or not that of its place."""
        try:
            attempt = from_json(Attempt, text)
        except RecordError as error:
            raise RecordError(
                f"attempt {index} of {self.path} is damaged: {error}. Restore it from a copy."
            ) from None
        if not place == index == attempt.index:
            raise RecordError(
                f"expected attempt {place} in {self.path}, found attempt {attempt.index} in row "
                f"{index}. Restore it from a copy."
            )
        return attempt

    def _select(self, query: str, values: tuple[object, ...] = ()) -> list[tuple[str, str]]:
        if not self.path.exists():
            return []
        with self._faults(), _closing(self._connect("rw")) as connection:
            return connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A connection that has the file to itself, for one transaction."""
        with self._faults():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _closing(self._connect("rwc")) as connection, connection:
                connection.executescript(_SCHEMA + _KEPT)
                connection.execute("begin immediate")
                yield connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        # "rw" for readers too: they roll back what a killed writer left half done
        uri = f"{self.path.resolve().as_uri()}?mode={mode}"
        connection = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
        connection.execute("pragma synchronous = full")  # the rollback journal's folder as well
        return connection

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """What SQLite raises, in our words."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DataError(f"cannot use the journal {self.path}: {error}.") from None
        except sqlite3.DatabaseError as error:
            raise RecordError(
                f"{self.path} is no journal, or is damaged: {error}. Restore it from a copy."
            ) from None
        except OSError as error:
            raise DataError(
                f"cannot use the journal {self.path}: {error.strerror}. Free some space, or name "
                "another folder with --out."
            ) from None


@contextmanager
def _closing(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    try:
        yield connection
    finally:
        connection.close()
