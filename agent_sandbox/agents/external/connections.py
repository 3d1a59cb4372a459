"""The record of a program's connections: a line of JSON for each that opens, closes, is refused."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_LINES = 200_000
"""Of one gateway; what cannot be recorded any more is refused."""
MAX_TARGET = 300
"""Characters that are kept of what was asked for."""
_MAX_SHOWN = 10


class Full(Exception):
    """There are `MAX_LINES` lines; what is asked for now is neither admitted nor recorded."""


class ConnectionLog:
    """Writes lines to an open file, each in one piece."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._num_lines = 0
        self._num_open = 0

    def refused(self, target: str, reason: str) -> None:
        """Note a request that was not granted. Raises Full, OSError."""
        self._require_room()
        self._write({"event": "refused", "target": target[:MAX_TARGET], "reason": reason})

    def opened(self, target: str, address: str) -> OpenConnection:
        """Note a connection that stands: to what, and to which address. Raises Full, OSError."""
        self._require_room()
        self._num_open += 1
        connection = OpenConnection(self, target, address, time.monotonic())
        self._write({"event": "opened", "target": target, "address": address})
        return connection

    def closed(self, connection: OpenConnection) -> None:
        """Note the end of a connection. There is always room for it. Raises OSError."""
        self._num_open -= 1
        self._write(
            {
                "event": "closed",
                "target": connection.target,
                "address": connection.address,
                "bytes_out": connection.bytes_out,
                "bytes_in": connection.bytes_in,
                "seconds": round(time.monotonic() - connection.started, 3),
            }
        )

    def _require_room(self) -> None:
        if self._num_lines + self._num_open + 2 > MAX_LINES:
            raise Full

    def _write(self, fields: dict[str, Any]) -> None:
        self._num_lines += 1
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields})
        content = line.encode() + b"\n"
        if os.write(self._descriptor, content) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@dataclass
class OpenConnection:
    """What passes through a connection."""

    log: ConnectionLog
    target: str
    address: str
    started: float
    bytes_out: int = 0
    """From the program to the host."""
    bytes_in: int = 0
    """From the host to the program."""

    def close(self) -> None:
        """See `ConnectionLog.closed`."""
        self.log.closed(self)


def summary(path: Path) -> str:
    """What a program reached and what it was refused, in a line; empty without a record."""
    if not path.exists():
        return ""
    opened: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    received: Counter[str] = Counter()
    for entry in _entries(path):
        target = str(entry.get("target"))
        if entry.get("event") == "refused":
            refused[target] += 1
        elif entry.get("event") == "opened":
            opened[target] += 1
        else:
            sent[target] += int(entry.get("bytes_out", 0))
            received[target] += int(entry.get("bytes_in", 0))
    reached = [
        f"{target} ({number} x, {sent[target]} bytes out, {received[target]} in)"
        for target, number in opened.most_common(_MAX_SHOWN)
    ]
    turned_away = [f"{target} ({number} x)" for target, number in refused.most_common(_MAX_SHOWN)]
    return f"reached: {_listed(reached, opened)}; refused: {_listed(turned_away, refused)}"


def _entries(path: Path) -> Iterable[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):  # cut by a machine that stopped
                yield json.loads(line)


def _listed(shown: list[str], counted: Counter[str]) -> str:
    more = len(counted) - len(shown)
    return ", ".join([*shown, *([f"and {more} more"] if more else [])]) or "nothing"
