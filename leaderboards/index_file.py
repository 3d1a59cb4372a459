"""The SQLite file of an index: its tables, whose it is, and how it is opened."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from leaderboards.columns import ATTEMPTS, FINDINGS, Columns
from lra_design.errors import DataError, RecordError

FILE_NAME = "index.sqlite"
SCHEMA = 1
"""To be raised with every change of the tables: an older index is then made anew."""
APPLICATION = 0x4C52_4431
"""Says that an SQLite file is such an index."""
WAIT_SECONDS = 60.0
"""For another process that is writing."""
_TYPES = {"text": "text", "whole": "integer", "number": "real", "yes/no": "integer"}


def _table(name: str, columns: Columns) -> str:
    own = ", ".join(f'"{column}" {_TYPES[kind]}' for column, (kind, _) in columns.items())
    return f"create table {name} (path text not null, number integer not null, {own})"


TABLES = (
    "create table files (path text primary key, size integer not null, changed integer, "
    "num_records integer not null, digest text not null)",
    "create table runs (path text not null, number integer not null, record text not null, "
    "unique (path, number))",
    "create table dossiers (path text not null, number integer not null, record text not null, "
    "unique (path, number))",
    _table("attempts", ATTEMPTS),
    _table("findings", FINDINGS),
    "create unique index attempt_once on attempts (path, number)",
    "create unique index finding_once on findings (path, number, place)",
    f"pragma application_id = {APPLICATION}",
    f"pragma user_version = {SCHEMA}",
)


def connect_in_memory() -> sqlite3.Connection:
    """An empty index that nobody else sees."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _make_tables(connection)
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """The index at `path`, emptied when an older version made it.

    Raises RecordError for one of a newer version and for what is none.
    """
    connection = _open(path)
    try:
        _bring_up_to_date(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def make(path: Path) -> None:
    """An empty index at `path` where there is none, or a damaged one; it appears whole."""
    if path.exists() and not _is_damaged(path):
        return
    if path.exists():
        for ending in ("-wal", "-shm", ""):
            path.with_name(path.name + ending).unlink(missing_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.draft")
    try:
        with closing(_open(draft)) as connection:
            # here, since two that open a file at once cannot both change its mode
            connection.execute("pragma journal_mode = wal")
            _make_tables(connection)
        if not path.exists():
            os.link(draft, path)
    except FileExistsError:  # somebody else made it
        pass
    finally:
        draft.unlink(missing_ok=True)


def _is_damaged(path: Path) -> bool:
    """Whether SQLite cannot read the file at all."""
    try:
        with closing(_open(path)) as connection:
            return bool(connection.execute("pragma quick_check").fetchone() != ("ok",))
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return True


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    connection.execute("pragma synchronous = normal")
    return connection


def _make_tables(connection: sqlite3.Connection) -> None:
    for statement in TABLES:
        connection.execute(statement)


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    (application,) = connection.execute("pragma application_id").fetchone()
    if application != APPLICATION:
        raise RecordError(
            f"{path} is no index of lra-design: something else made it. Move it to another folder."
        )
    if _schema(connection) > SCHEMA:
        raise RecordError(
            f"{path}: expected an index of schema {SCHEMA}, found {_schema(connection)}: a newer "
            "version of lra-design made it. Update lra-design, or delete the file: nothing is lost "
            "by it."
        )
    if _schema(connection) < SCHEMA:
        with transaction(connection):
            if _schema(connection) < SCHEMA:  # nobody else was faster
                _drop_tables(connection)
                _make_tables(connection)


def _schema(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _drop_tables(connection: sqlite3.Connection) -> None:
    tables = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    for (name,) in tables:
        connection.execute(f'drop table "{name}"')


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that the block writes, or nothing; one writer at a time."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """What SQLite raises, in our words."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DataError(
            f"cannot use the index {path}: {error}. Free some space, end who holds it, or delete "
            "it: nothing is lost by it."
        ) from None
    except sqlite3.DatabaseError as error:
        raise RecordError(
            f"{path} is no index, or is damaged: {error}. Make it anew with `lra-design board "
            "rebuild`: nothing is lost by it."
        ) from None
    except OSError as error:
        raise DataError(
            f"cannot read or write {error.filename or path}: {error.strerror}. Make it accessible, "
            "or name another folder."
        ) from None
