"""The operations of a forward as a graph, and a hash that equal graphs share."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from lra_design.errors import CandidateFault

MAX_OPERATIONS = 20_000
MAX_LABEL = 2_000
GIVEN = {-1: "input", -2: "given"}
"""What no operation made."""


def graph_versions() -> str:
    """What runs other operations for the same source."""
    return f"torch {version('torch').partition('+')[0]}"


def graph_hash(operations: object) -> str | None:
    """Of what the worker recorded; None when it is too much to keep.

    Each operation is hashed with the hashes of those that made its inputs: the refinement of
    Weisfeiler and Lehman, which on a graph without cycles is complete after one pass in the order
    of time. The order of operations that do not depend on each other does not count. Raises
    CandidateFault when there is no list of operations.
    """
    digests: list[str] = []
    for label, makers in _checked(operations):
        inputs = [GIVEN.get(maker) or digests[maker] for maker in makers]
        digests.append(_digest([label, *inputs]))
    return _digest(sorted(digests)) if len(digests) <= MAX_OPERATIONS else None


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _checked(operations: object) -> Sequence[tuple[str, list[int]]]:
    if not isinstance(operations, list) or not all(
        _is_operation(row, index) for index, row in enumerate(operations)
    ):
        raise CandidateFault("protocol", "the list of operations is none")
    return operations


def _is_operation(row: Any, index: int) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 2
        and isinstance(row[0], str)
        and len(row[0]) <= MAX_LABEL
        and isinstance(row[1], list)
        and all(type(maker) is int and -2 <= maker < index for maker in row[1])
    )
