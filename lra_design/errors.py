"""Exceptions of the benchmark itself.

    LraDesignError
    ├── UsageError           the caller asked for what does not exist or makes no sense: exit 2
    ├── HarnessError         the benchmark or the machine is at fault: exit 3
    │   ├── IsolationUnavailable   a required layer of isolation is missing
    │   ├── DataError              data is missing, damaged or cannot be written
    │   └── RecordError            a stored record is not what its schema says
    ├── CandidateFault       the candidate's process broke a rule; becomes a finding
    └── CandidateRefused     the judge found that a candidate may not be trained; carries findings

What a candidate did wrong is a *finding*, a value (`lra_design.records.Finding`). `CandidateFault`
only carries the fact from the process boundary to the place that writes the finding. A command
that ends with one of the last two ends with exit 1: the candidate is at fault.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lra_design.records import Finding

FaultKind = Literal[
    "timeout",  # no answer within the time given to the call
    "exited",  # the process ended by itself or crashed
    "process",  # tried to start or touch a process or a program
    "network",  # tried to open a socket
    "filesystem",  # tried to write or open a file outside its reach
    "output",  # wrote more to stdout and stderr than allowed
    "memory",  # took more memory than allowed
    "protocol",  # answered with something that is no valid answer
    "raised",  # its code raised an exception
]


class LraDesignError(Exception):
    """Root of all errors the benchmark raises on purpose."""


class UsageError(LraDesignError):
    """The caller asked for something that does not exist or makes no sense."""


class HarnessError(LraDesignError):
    """The benchmark or the machine is at fault; never charged to a candidate."""


class IsolationUnavailable(HarnessError):
    """A required layer of isolation is missing; names the layer and the remedy."""

    def __init__(self, layer: str, found: str, remedy: str) -> None:
        super().__init__(f"isolation layer '{layer}' is not available: {found}. {remedy}")
        self.layer = layer
        self.remedy = remedy


class DataError(HarnessError):
    """Data is missing, damaged or cannot be written."""


class RecordError(HarnessError):
    """A stored record is not what its schema says."""


class CandidateFault(LraDesignError):
    """The candidate's process broke a rule: `kind` says which, `detail` says how."""

    def __init__(self, kind: FaultKind, detail: str, *, trace: str = "") -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind: FaultKind = kind
        self.detail = detail
        self.trace = trace


class CandidateRefused(LraDesignError):
    """A candidate that may not be trained or scored further; carries the findings that say why."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{f.check} {f.name}: {f.found}" for f in findings))
        self.findings = tuple(findings)


def unknown_name(what: str, name: str, known: Iterable[str]) -> UsageError:
    """A UsageError that says what exists and which known name is nearest to `name`."""
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    return UsageError(f"unknown {what} '{name}'.{hint} Known: {', '.join(names)}.")
