"""The folder of a design run: what was asked, who may write in it, and where its parts lie."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lra_design.errors import DataError, UsageError
from lra_design.files import write_atomically
from lra_design.records import Budget, Device, Level, from_json, record, to_json

WAIT_SECONDS = 0.2
"""Between two looks at a folder that somebody else works in."""


@record
class DesignSettings:
    """What a design run was asked to do; a folder holds one run and never changes its settings."""

    task: str
    probes: tuple[str, ...]
    scale: Literal["smoke", "small", "full"]
    mode: Literal["causal", "bidirectional"]
    agent: str | None = None
    """The command of a program that writes; None: what stands below does."""
    agent_network: tuple[str, ...] = ()
    """The hosts that it may reach, as NAME:PORT."""
    agent_network_unwalled: bool = False
    """It reaches them outside the walls, where nothing checks what else it reaches and reads."""
    agent_env: tuple[str, ...] = ()
    """Names of the environment variables that it gets; their values are kept nowhere."""
    llm: str | None = None
    """As `open_llm` takes it; None: the grammar writes."""
    policy: str = "evolution"
    """As `get_policy` takes it, or the built-in agent's name."""
    operators: tuple[str, ...] | None = None
    """What the agent may do; None: all that it can."""
    whole_files: bool = False
    agent_seed: int
    budget: Budget
    num_seeds: int
    isolation: Level
    setting: Literal["fixed", "tuned"] = "fixed"
    """Of the task: everybody by the recipe, or everybody tuned first, with as many trials."""
    num_trials: int | None = None
    """Of each study; None in the `fixed` setting."""
    references: tuple[str, ...] | None = None
    """Who is compared with; None: those of `mechanisms.FEW`."""
    device: Device = "cpu"
    """What networks are trained on; validation is on the processor, always."""


@dataclass(frozen=True)
class RunFolder:
    """Where the parts of a design run lie."""

    path: Path
    shared: Path | None = None
    """Where trainings and studies lie that it shares with other runs; None: in the folder."""

    @property
    def journal(self) -> Path:
        """Every attempt."""
        return self.path / "journal.sqlite"

    @property
    def workspace(self) -> Path:
        """Where a program of somebody else writes."""
        return self.path / "workspace"

    @property
    def agent_log(self) -> Path:
        """What that program printed."""
        return self.path / "agent.log"

    @property
    def llm_fault(self) -> Path:
        """What ended the last call, where that was a fault of the llm."""
        return self.path / "llm_fault.txt"

    @property
    def agent_network(self) -> Path:
        """What it reached, and what it was refused."""
        return self.path / "agent-network.jsonl"

    @property
    def board(self) -> Path:
        """The store of scored runs."""
        return self.path / "board"

    @property
    def site(self) -> Path:
        """The leaderboard as pages."""
        return self.path / "site"

    @property
    def page(self) -> Path:
        """The first of them, which is there once the run has ended."""
        return self.site / "index.html"

    @property
    def trainings(self) -> Path:
        """Every training, of candidates, references and of an attribution."""
        return self.shared or self.path / "trainings"

    @property
    def attribution(self) -> Path:
        """Which of its changes made the winner better."""
        return self.path / "attribution.json"

    def training(self, run_id: str) -> Path:
        """The folder of one training."""
        return self.trainings / run_id[:16]

    def study(self, run_id: str) -> Path:
        """The folder of the study that departs from one training."""
        return (self.shared or self.path) / "studies" / run_id[:16]

    def candidate(self, index: int) -> Path:
        """The source of attempt `index`."""
        return self.path / "candidates" / f"{index:03d}.py"


@contextmanager
def opened(
    path: Path, settings: DesignSettings, *, new: bool, trainings: Path | None = None
) -> Iterator[RunFolder]:
    """The run folder at `path`, ours alone while the block runs.

    A folder with the same settings is resumed. new: take the next free name (`path-2`, ...)
    instead. trainings: see `RunFolder`. Raises UsageError when the folder holds a run with other
    settings, or is in use.
    """
    path = _free_name(path) if new else path
    stored = path / "design.json"
    with locked(path):
        if stored.exists():
            _compare(from_json(DesignSettings, stored.read_bytes()), settings, path)
        else:
            write_atomically(stored, to_json(settings, indent=2).encode())
        yield RunFolder(path, trainings)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Make the folder at `path` where it is missing, and keep it ours while the block runs.

    Raises UsageError when another process works in it, DataError when it cannot be used.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise DataError(
            f"cannot use the folder {path}: {error.strerror}. Name another one with --out."
        ) from None
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def awaited(path: Path, check: Callable[[], None]) -> Iterator[None]:
    """As `locked`, but waits for whoever works there. check: called meanwhile, may raise."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _is_locked(descriptor):
            check()
            time.sleep(WAIT_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _free_name(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.name}-{number}")
    return candidate


def _lock(descriptor: int, path: Path) -> None:
    if not _is_locked(descriptor):
        raise UsageError(
            f"another process is working in {path}. Wait for it, or name another folder with --out."
        )


def _is_locked(descriptor: int) -> bool:
    """Lock the file if nobody else has; whether it is ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _compare(stored: DesignSettings, asked: DesignSettings, path: Path) -> None:
    if stored == asked:
        return
    differences = ", ".join(
        f"{name} {getattr(stored, name)} there, {getattr(asked, name)} asked"
        for name in DesignSettings.__dataclass_fields__
        if getattr(stored, name) != getattr(asked, name)
    )
    raise UsageError(
        f"{path} holds a run with other settings: {differences}. "
        "Add --new to start another run beside it, or name another folder with --out."
    )
