"""The splits of a task on disk: made on first use, memory-mapped ever after.

    home()/data/<task id>/<split>-<key>/    mode 0700, files 0600
        tokens.npy  offsets.npy  labels.npy
        split.json                          what it is, and the SHA-256 of the arrays

The key is a hash of the generator, the task's constants and, for the held-out splits, a public
fingerprint of the installation's secret, so that a change of any of them makes a new folder. The
seed of the training split is public: it is the same on every machine. The seeds of validation and
test are derived from the secret. No example occurs twice in a split or in two splits: validation
leaves out what is in train, and test what is in train or validation.

A folder appears in one step, complete; several processes that ask at once do the work once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lra_design.errors import DataError, RecordError, unknown_name
from lra_design.home import HOME_VARIABLE, home, secret_seed
from lra_design.records import from_json, record, to_json
from tasks.drawing import draw_distinct, fingerprints
from tasks.task import SPLIT_NAMES, Examples, SplitName, Task

FORMAT = 1
"""Version of the layout on disk; part of the key."""
_ARRAYS = tuple(field.name for field in fields(Examples))
Progress = Callable[[int, int], None]


@record
class StoredSplit:
    """What a folder of arrays holds."""

    task: str
    split: str
    generator: str
    num_examples: int
    sha256: str
    """Over the bytes of tokens, offsets and labels, in this order; hexadecimal."""


def load_split(task: Task, split: SplitName, *, progress: Progress | None = None) -> Examples:
    """The examples of a split, memory-mapped; made when they are not there yet.

    progress: called with the number of examples made so far and their total, for each split that
    has to be made. Raises DataError when the data is damaged or cannot be written.
    """
    return _read(task, split, _ensure(task, split, progress))[0]


def split_hash(task: Task, split: SplitName) -> str:
    """SHA-256 over the tokens, offsets and labels of a split, hexadecimal."""
    return _read(task, split, _ensure(task, split, None))[1].sha256


def _ensure(task: Task, split: SplitName, progress: Progress | None) -> Path:
    """The folder of a split, made when it is not there yet."""
    if split not in SPLIT_NAMES:
        raise unknown_name("split", split, SPLIT_NAMES)
    folder = _folder(task, split)
    if folder.exists():
        return folder
    earlier = SPLIT_NAMES[: SPLIT_NAMES.index(split)]
    seen = [load_split(task, name, progress=progress) for name in earlier]
    with _locked(folder):
        if not folder.exists():
            _prepare(task, split, folder)
            _write(task, split, folder, _draw(task, split, seen, progress))
    return folder


def _folder(task: Task, split: SplitName) -> Path:
    constants = {
        "format": FORMAT,
        "task": task.id,
        "generator": task.generator,
        "sizes": task.sizes,
        "vocabulary": task.vocabulary,
        "labels": task.labels,
        "max_seq_len": task.max_seq_len,
        "secret": None if split == "train" else f"{secret_seed('fingerprint'):016x}",
    }
    key = hashlib.sha256(json.dumps(constants, sort_keys=True).encode()).hexdigest()[:16]
    return home() / "data" / task.id / f"{split}-{key}"


def _seed(task: Task, split: SplitName) -> int:
    if split == "train":
        digest = hashlib.sha256(f"lra-design/{task.id}/train".encode()).digest()
        return int.from_bytes(digest[:8], "little")
    return secret_seed(f"{task.id}/{split}/{task.generator}")


def _draw(
    task: Task, split: SplitName, earlier: Sequence[Examples], progress: Progress | None
) -> Examples:
    seen = {fingerprint for examples in earlier for fingerprint in fingerprints(examples)}
    return draw_distinct(task, _seed(task, split), task.sizes[split], seen, progress)


def _write(task: Task, split: SplitName, folder: Path, examples: Examples) -> None:
    """Put the folder of a split in place, complete, in one step."""
    stored = StoredSplit(
        task=task.id,
        split=split,
        generator=task.generator,
        num_examples=len(examples),
        sha256=_sha256(examples),
    )
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    with _system_errors(folder):
        try:
            draft.mkdir(mode=0o700)
            for name in _ARRAYS:
                with _new_file(draft / f"{name}.npy") as file:
                    np.save(file, getattr(examples, name), allow_pickle=False)
            with _new_file(draft / "split.json") as file:
                file.write(to_json(stored, indent=2).encode())
            _sync_folder(draft)
            draft.rename(folder)
            _sync_folder(folder.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _read(task: Task, split: SplitName, folder: Path) -> tuple[Examples, StoredSplit]:
    """The examples in a folder, memory-mapped, and their description, both checked."""
    try:
        stored = from_json(StoredSplit, (folder / "split.json").read_bytes())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS}
        examples = Examples(**arrays)
        found = _sha256(examples)
    except PermissionError as error:
        raise DataError(
            f"cannot read {error.filename}: {error.strerror}. It belongs to the user who made it; "
            f"run as that user, or set {HOME_VARIABLE} to a folder of your own."
        ) from None
    except (OSError, ValueError, EOFError, RecordError) as error:
        raise _damaged(folder, str(error)) from None
    if (stored.task, stored.split) != (task.id, split) or len(examples) != task.sizes[split]:
        raise _damaged(folder, f"it holds {len(examples)} examples of {stored.task}/{stored.split}")
    if found != stored.sha256:
        raise _damaged(folder, f"expected arrays with SHA-256 {stored.sha256}, found {found}")
    return examples, stored


def _damaged(folder: Path, found: str) -> DataError:
    return DataError(
        f"the split in {folder} is damaged: {found}. "
        "Delete the folder; it is made again on next use."
    )


def _sha256(examples: Examples) -> str:
    digest = hashlib.sha256()
    for name in _ARRAYS:
        array = getattr(examples, name)
        little_endian = array.dtype.newbyteorder("<")
        digest.update(np.ascontiguousarray(array, dtype=little_endian).data)
    return digest.hexdigest()


def _prepare(task: Task, split: SplitName, folder: Path) -> None:
    """Remove what killed processes left, and check that the longest examples possible would fit."""
    with _system_errors(folder):
        for draft in folder.parent.glob(f".{folder.name}.*"):  # ours alone: we hold the lock
            shutil.rmtree(draft)
        free = shutil.disk_usage(folder.parent).free
    token_bytes = 1 if len(task.vocabulary) <= 256 else 2
    labels = task.max_seq_len if task.labels == "position" else 1
    need = task.sizes[split] * (token_bytes * task.max_seq_len + 2 * labels + 8)
    if free < need:
        raise DataError(
            f"not enough space for {folder}: expected {need / 1e6:.0f} MB free, "
            f"found {free / 1e6:.0f} MB. Free some, or set {HOME_VARIABLE} to another folder."
        )


@contextmanager
def _system_errors(folder: Path) -> Iterator[None]:
    """Turn what the system refuses into a DataError with a remedy."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {folder}: {error.strerror or error}. Make the disk writable and free "
            f"some space, or set {HOME_VARIABLE} to another folder."
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the only right to make `folder`. The lock goes with the process that holds it."""
    with _system_errors(folder):
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with _system_errors(folder):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """A new file for its owner alone, on the disk when the block ends."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
