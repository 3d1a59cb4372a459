"""Where studies are kept: a journal file beside the trainings, or any storage that Optuna knows.

    optuna-dashboard runs/tune/study.log        (the journal)
    optuna-dashboard sqlite:////team/study.db   (a storage given by its URL)

A journal survives a writer killed at any moment; one killed while it held the file's lock makes the
next one wait for half a minute.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from lra_design.errors import DataError, UsageError

if TYPE_CHECKING:
    import optuna

JOURNAL = "study.log"
LOCK = ".study.lock"


def open_storage(folder: Path, url: str | None) -> optuna.storages.BaseStorage:
    """The storage at `url`; the journal in `folder`, made when missing, without one.

    Raises UsageError for a URL that is none, DataError when the storage cannot be used.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if url is None:
            return _open_journal(folder / JOURNAL)
        with alone(folder):  # of two that make the tables of a new database at once, one fails
            return _open_database(url)
    except OSError as error:
        raise DataError(
            f"cannot keep a study in {folder}: {error.strerror}. Choose a folder you may write to."
        ) from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep all other threads and processes that work on the studies of `folder` out of the block.

    The system lets go of the lock of a process that dies.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def storage_faults() -> Iterator[None]:
    """Raise DataError for a storage that fails while the block uses it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise DataError(
            f"the storage of the study failed: {_cause(error)} The same command goes on where it "
            "stopped."
        ) from None


def _open_journal(path: Path) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def _open_database(url: str) -> optuna.storages.BaseStorage:
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import SQLAlchemyError

    try:
        return RDBStorage(url)
    except (ImportError, ValueError) as error:  # a driver that is missing, a URL that is none
        raise UsageError(f"cannot open the storage {_shown(url)}: {_cause(error)}") from None
    except TypeError as error:  # psycopg gives bytes where a database names no encoding
        raise DataError(
            f"cannot use the storage {_shown(url)}: {_cause(error)} Expected a database with "
            "encoding UTF8: CREATE DATABASE name TEMPLATE template0 ENCODING 'UTF8'."
        ) from None
    except RuntimeError as error:  # made by a version of Optuna that this one cannot read
        raise DataError(f"cannot use the storage {_shown(url)}: {_cause(error)}") from None
    except SQLAlchemyError as error:
        if not hasattr(error, "orig"):
            raise UsageError(
                f"'{_shown(url)}' is no storage: expected a URL such as sqlite:////team/study.db "
                "or postgresql://user@host/database."
            ) from None
        raise DataError(
            f"cannot use the storage {_shown(url)}: {_cause(error)} Make sure that it can be "
            "reached and that you may write there."
        ) from None


def _cause(error: Exception) -> str:
    """An error in one line that ends with a full stop."""
    first = str(error).partition("\n")[0].rstrip(".")
    return f"{first}."


def _shown(url: str) -> str:
    """The URL without what may be a password."""
    scheme, found, rest = url.partition("://")
    return scheme + found + rest.rpartition("@")[2]
