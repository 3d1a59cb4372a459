"""What each process takes on the cards, as the driver tells it every few seconds.

From outside, so that no candidate can say otherwise. A container that hides process ids hides this
too. Written from documentation.
"""

from __future__ import annotations

import threading

from agent_sandbox.isolation.cards import ask_driver

LOOK_SECONDS = 5.0
"""Between two looks: asking takes the driver up to a second, and PyTorch gives little back."""
_QUESTION = "--query-compute-apps=pid,used_gpu_memory"


class CardMemory:
    """The latest look and the largest, by process; a thread looks until `close`."""

    def __init__(self) -> None:
        self._peaks: dict[int, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="card-memory", daemon=True)
        self._thread.start()

    def begin(self, pid: int) -> None:
        """Forget an earlier process of that id."""
        self._peaks.pop(pid, None)

    def peak_bytes(self, pid: int) -> int | None:
        """The most that process `pid` was seen to take; None when the driver did not tell."""
        return self._peaks.get(pid)

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """Ask once."""
        for pid, taken in processes_on_cards().items():
            self._peaks[pid] = max(taken, self._peaks.get(pid, 0))


def processes_on_cards() -> dict[int, int]:
    """Bytes on all cards together, by process id; empty where the driver does not tell."""
    taken: dict[int, int] = {}
    for row in ask_driver(_QUESTION):
        if len(row) == 2 and all(column.isdecimal() for column in row):  # else "[N/A]"
            pid, mebibytes = map(int, row)
            taken[pid] = taken.get(pid, 0) + mebibytes * 1024**2
    return taken
