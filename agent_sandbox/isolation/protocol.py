"""What the trusted side sees of an isolated worker, whatever keeps it isolated.

A *program* is a class that runs inside the worker; it is named by `module:Class`. Its public
methods are the operations the judge may call: each takes one `Message` and returns one. The judge
asks, the worker answers; nothing else passes between them, and nothing the worker answers is
believed beyond "these are the tensors it returned".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor

from agent_sandbox.isolation.cards import Card
from lra_design.records import IsolationRecord, Limits, Usage


@dataclass(frozen=True)
class Message:
    """One request or one answer: JSON values and named tensors."""

    values: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)


class Worker(Protocol):
    """One isolated process that may run a candidate. Closing it kills it and all it left behind."""

    def call(
        self,
        operation: str,
        values: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        *,
        seconds: float,
    ) -> Message:
        """Ask for one operation and wait at most `seconds` for its answer.

        Raises CandidateFault when there is no valid answer, whatever the reason; the worker is then
        dead, except after kind `raised`. Raises HarnessError when the fault is ours.
        """

    def usage(self) -> Usage:
        """Seconds since the start, CPU seconds and peak memory, measured from outside."""

    @property
    def output(self) -> bytes:
        """What it wrote to stdout and stderr; shown to its author, never read for meaning."""

    def close(self) -> None:
        """Kill the process, remove its scratch folder. May be called more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class Isolation(Protocol):
    """A way to run workers apart from the judge, made by `open_isolation`; threads may share it."""

    @property
    def record(self) -> IsolationRecord:
        """What holds on this machine, for every record that a worker's answers end up in."""

    @property
    def card(self) -> Card | None:
        """The GPU that its workers compute on, where CUDA stands already; None: the processor."""

    def start(self, program: str, limits: Limits | None = None) -> Worker:
        """A fresh worker running `program` (`module:Class`). Raises HarnessError."""

    def close(self) -> None:
        """End every worker and the isolation itself. May be called more than once."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
