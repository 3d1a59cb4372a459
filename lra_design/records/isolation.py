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


Device = Literal["cpu", "cuda"]
"""What a network computes on: the processor, or one NVIDIA card."""


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
    """`cpu`, or the name of the card: `NVIDIA H200`."""
    num_threads: int
    driver: str | None = None
    """Version of the card's driver; None on a processor. The version of CUDA is part of that of
    torch."""
    arithmetic: str | None = None
    """What a card was told about its arithmetic; None on a processor."""


@record
class Usage:
    """What a worker took, measured by the judge."""

    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int
    peak_device_memory_bytes: int | None = None
    """On the card, as its driver told the judge every few seconds. None on a processor, and where
    the driver does not tell."""

    def and_then(self, later: Usage) -> Usage:
        """What both took, one after the other."""
        peaks = (self.peak_device_memory_bytes, later.peak_device_memory_bytes)
        return Usage(
            seconds=self.seconds + later.seconds,
            cpu_seconds=self.cpu_seconds + later.cpu_seconds,
            peak_memory_bytes=max(self.peak_memory_bytes, later.peak_memory_bytes),
            peak_device_memory_bytes=max((p for p in peaks if p is not None), default=None),
        )
