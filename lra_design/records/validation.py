"""What is found of a candidate's validity."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from lra_design.records.isolation import IsolationRecord, Versions
from lra_design.records.serialised import Scalar, record

Tier = Literal["error", "warning", "info"]


@record
class Finding:
    """One violation of one check, written for the author of the candidate."""

    check: str
    """Stable id, `LRA101`."""
    name: str
    """Stable name of the check, `imports`."""
    tier: Tier
    """`error` makes the candidate invalid; `warning` is shown on the board; `info` is neither."""
    expected: str
    found: str
    likely_cause: str
    hint: str
    """What to do next."""
    where: str = ""
    """A source line or the circumstances: `line 12`, `float64, B=3, L=37, causal`."""


@record
class CheckRun:
    """That a check was run, over how many cases, and what it cost."""

    check: str
    name: str
    num_cases: int
    num_findings: int
    seconds: float
    ended_by: str | None = None
    """Id of the finding that ended the check before its verdict; None: it came to one."""


@record
class ScalingPoint:
    """What one forward of one example costs at one length."""

    seq_len: int
    flops: float | None
    """Floating-point operations, one for each element an elementwise operation touches; counted in
    the candidate's process. None where they could not be counted."""
    peak_memory_bytes: float | None
    """The most bytes of intermediate tensors alive at once, counted likewise."""
    seconds: float
    """Fastest of a few calls on one thread, by the judge's clock."""


Quantity = Literal["flops", "peak_memory_bytes", "seconds"]


@record
class Exponent:
    """How one cost grows with the length: as the length to this power."""

    quantity: Quantity
    value: float
    low: float
    """Lower end of the 95 % interval of the fit."""
    high: float


@record
class Scaling:
    """Measured cost over at least five lengths, and the exponents fitted to it."""

    points: tuple[ScalingPoint, ...]
    exponents: tuple[Exponent, ...]
    """Of the quantities that could be measured at five lengths at least."""
    claimed: float | None
    """The exponent of the FLOPs that the mechanism's `claimed_cost` states; None: no claim."""


@record
class ValidationReport:
    """What is known of a candidate's validity; when `certified`, it is its certificate."""

    mechanism: str | None
    """Name of the class, None when the file has no single mechanism."""
    source_hash: str
    """SHA-256 of the file's bytes, hexadecimal."""
    mode: Literal["causal", "bidirectional"]
    hyperparameters: dict[str, Scalar] = field(default_factory=dict)
    """Those it was built with, beyond its defaults."""
    findings: tuple[Finding, ...]
    checks: tuple[CheckRun, ...]
    battery: Literal["full", "fast", "partial"]
    """Which checks were asked. Only `full` certifies; `partial` is a choice of the caller's."""
    num_parameters: int | None
    """Of one mechanism at the validator's sizes."""
    scaling: Scaling | None
    """None when the cost was not measured."""
    search_space: dict[str, dict[str, Any]]
    replay_token: str
    """Lets the owner of the installation draw the same inputs again."""
    seconds: float
    isolation: IsolationRecord | None
    """None when the source was refused before anything ran."""
    versions: Versions

    @property
    def valid(self) -> bool:
        """Whether no finding is an error."""
        return all(finding.tier != "error" for finding in self.findings)

    @property
    def certified(self) -> bool:
        """Whether this is a certificate: the full battery was asked and found no error."""
        return self.valid and self.battery == "full"
