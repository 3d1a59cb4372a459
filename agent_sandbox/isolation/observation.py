"""What can be seen of a worker from outside: what it takes, and what it writes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_READ_BYTES = 1 << 16
_PRIVATE = (b"RssAnon", b"RssShmem", b"VmPTE")


@dataclass(frozen=True)
class Observation:
    """One look at a process through /proc."""

    private_bytes: int = 0
    """Resident pages that are its own, not the mapped library files, and its page tables.

    Page tables are memory too: a look at one page in every 2 MiB of a huge mapping fills them.
    """
    peak_bytes: int = 0
    """The most that was ever resident, library files included (VmHWM)."""
    num_threads: int = 0
    cpu_seconds: float = 0.0

    def joined(self, later: Observation) -> Observation:
        """The later look, with the larger of what only grows."""
        return Observation(
            private_bytes=later.private_bytes,
            peak_bytes=max(self.peak_bytes, later.peak_bytes),
            num_threads=later.num_threads,
            cpu_seconds=max(self.cpu_seconds, later.cpu_seconds),
        )


def observe(pid: int) -> Observation | None:
    """What process `pid` takes now; None when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
        times = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)
    if b"VmHWM" not in fields:  # a zombie has no memory left
        return None
    # The name in parentheses may hold anything, also spaces and parentheses.
    ticks = times.rpartition(b")")[2].split()[11:13]
    return Observation(
        private_bytes=sum(_kibibytes(fields, name) for name in _PRIVATE),
        peak_bytes=_kibibytes(fields, b"VmHWM"),
        num_threads=int(fields[b"Threads"]),
        cpu_seconds=sum(map(int, ticks)) / _TICKS_PER_SECOND,
    )


def _kibibytes(fields: dict[bytes, bytes], name: bytes) -> int:
    return int(fields[name].split()[0]) * 1024


class Output:
    """What a worker wrote, read without ever waiting for it, and never more than allowed."""

    def __init__(self, descriptor: int, max_bytes: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._max_bytes = max_bytes
        self._content = bytearray()
        self._lock = threading.Lock()

    @property
    def content(self) -> bytes:
        """All of it so far, at most `max_bytes`."""
        return bytes(self._content[: self._max_bytes])

    def drain(self) -> bool:
        """Take what is there; False when it is more than allowed."""
        with self._lock:
            while self._descriptor is not None and len(self._content) <= self._max_bytes:
                try:
                    chunk = os.read(self._descriptor, _READ_BYTES)
                except BlockingIOError:
                    break
                if not chunk:
                    break
                self._content += chunk
            return len(self._content) <= self._max_bytes

    def close(self) -> None:
        """Read no more."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
