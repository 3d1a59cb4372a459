"""What was measured of the reference mechanisms: `measured.jsonl`, a line each.

Written by `benchmarks/shelf.py`. A line says which source it was measured of: of any other it
says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from lra_design.records import Exponent, Hardware, Versions, from_json, record
from mechanisms import REFERENCES, reference_hash

PATH = Path(__file__).with_name("measured.jsonl")
Mode = Literal["causal", "bidirectional"]


@record
class Count:
    """What one forward of one example costs at one length, counted operation by operation."""

    seq_len: int
    flops: float
    peak_memory_bytes: int


@record
class Certificate:
    """What the validator found in one mode, at default hyperparameters."""

    mode: Mode
    num_checks: int
    warnings: tuple[str, ...]
    """Ids of the checks that warned."""
    exponents: tuple[Exponent, ...]
    counts: tuple[Count, ...]
    """At `d_model` 64 and 2 heads."""


@record
class Timing:
    """Forward and backward of one example at one length, causal where the mechanism can be."""

    device: Literal["cpu", "cuda"]
    seq_len: int
    seconds: float | None
    """Median of a few, of the processor's clock on a CPU; None where it did not fit into memory."""
    peak_memory_bytes: int | None
    """What the process grew by."""
    softmax_seconds: float | None
    """Of softmax attention in the same run."""
    naive_seconds: float | None = None
    """Of the naive twin in the same run; None where that was not tried."""


@record
class Measured:
    """One reference mechanism, as measured."""

    name: str
    source_hash: str
    num_parameters: int
    """Of one mechanism at `d_model` 64, 2 heads and `max_seq_len` 1,024."""
    certificates: tuple[Certificate, ...]
    """One for each mode it supports."""
    timings: tuple[Timing, ...]
    hardware: Hardware
    versions: Versions


def measured() -> dict[str, Measured]:
    """By name, the references whose source is still the one that was measured."""
    return {line.name: line for line in _lines() if line.source_hash == reference_hash(line.name)}


def _lines() -> Iterator[Measured]:
    if not PATH.exists():
        return
    for line in PATH.read_text(encoding="utf-8").splitlines():
        found = from_json(Measured, line)
        if found.name in REFERENCES:
            yield found
