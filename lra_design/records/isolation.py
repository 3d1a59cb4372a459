"""How and where something ran, and what it took."""

from __future__ import annotations

from typing import Literal

from lra_design.records.serialised import record


@record
class Limits:
    """What one isolated worker may use; enforced from outside the candidate's process."""

    memory_bytes: int = 2 * 1024**3
    """For the training of a network, the training split comes on top."""
    output_bytes: int = 1024**2
    """What it may write to stdout and stderr together."""
    num_threads: int = 16
    wall_seconds: float = 3600.0
    """From start to end of the worker; every call has a limit of its own besides."""
    num_processes: int = 64
    """Processes and threads together; profile `train` only, `validate` has one process."""
    disk_bytes: int = 1024**3
    """In the scratch folder; profile `train` only, `validate` writes nothing."""
    num_files: int = 10_000
    """Files and folders in the scratch folder."""


Profile = Literal["validate", "train"]
"""`validate`: no processes, nothing writable. `train`: both, within limits (for compilers)."""


Level = Literal["standard", "strong", "container", "unsafe"]
"""How candidates are kept apart from the judge; see `agent_sandbox.isolation`."""


@record
class IsolationRecord:
    """How a candidate was kept apart from the judge while it ran."""

    level: Level
    profile: Profile = "validate"
    landlock_abi: int | None
    seccomp: bool
    dropped_uid: bool
    """The worker ran under an unused user id (only root can arrange that)."""
    self_test_passed: bool
    gaps: tuple[str, ...]
    """What this level cannot stop on this machine, by name."""
    limits: Limits


@record
class Versions:
    """What computed a record."""

    lra_design: str
    contract: str
    python: str
    torch: str


@record
class Hardware:
    """Where a record was computed."""

    machine: str
    processor: str
    num_cpus: int
    device: str
    num_threads: int


@record
class Usage:
    """What a worker took, measured by the judge."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
