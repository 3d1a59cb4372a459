"""Recorded answers: JSON lines, each the hash of a request and the reply to it.

The same request may stand there several times, because agents sample; its answers are given in
the order in which they were recorded, counted anew by each `ReplayLLM`.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.protocol import LLM, Prompt, Reply
from lra_design.errors import RecordError, UsageError
from lra_design.line_file import LineFile
from lra_design.records.serialised import from_json, record, to_json


@record
class Recorded:
    """One line of a recording."""

    request: str
    """`request_hash` of the prompt."""
    reply: Reply


def request_hash(prompt: Prompt) -> str:
    """SHA-256 of the prompt's canonical JSON, in hex."""
    return hashlib.sha256(to_json(prompt).encode()).hexdigest()


class RecordingLLM:
    """`llm`, whose replies are added to `path`; each is on the disk before it is handed on."""

    def __init__(self, llm: LLM, path: Path) -> None:
        self.name = llm.name
        self._llm = llm
        self._file = LineFile(path)

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """See `LLM.complete`. Raises DataError when the reply cannot be written."""
        reply = self._llm.complete(prompt, on_text)
        line = to_json(Recorded(request=request_hash(prompt), reply=reply))
        self._file.append(line.encode(), lambda _: True)
        return reply


class ReplayLLM:
    """Gives the replies recorded in `path`, as they were: with their llm, usage and seconds."""

    def __init__(self, path: Path) -> None:
        self.name = f"replay:{path}"
        self._path = path
        self._replies: dict[str, list[Reply]] = defaultdict(list)
        self._num_given: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()
        for recorded in _read(path):
            self._replies[recorded.request].append(recorded.reply)

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """See `LLM.complete`. Raises LLMFault when the request was not recorded so often."""
        request = request_hash(prompt)
        with self._lock:
            replies, index = self._replies.get(request, []), self._num_given[request]
            self._num_given[request] += 1
        if index >= len(replies):
            raise LLMFault("no answer", self._missing(request, len(replies)))
        if on_text is not None:
            on_text(replies[index].text)
        return replies[index]

    def _missing(self, request: str, num_recorded: int) -> str:
        asked = f"request {request[:12]} is recorded {num_recorded} times in {self._path}"
        others = sum(map(len, self._replies.values()))
        return f"{asked}, which holds {others} replies, and was made once more"


def _read(path: Path) -> list[Recorded]:
    """Raises UsageError when there is no such file, RecordError naming a damaged line."""
    if not path.is_file():
        raise UsageError(f"expected a recording in {path}, found no file. Record one first.")
    recorded = []
    for number, line in enumerate(LineFile(path).lines(), start=1):
        try:
            recorded.append(from_json(Recorded, line))
        except RecordError as error:
            raise RecordError(
                f"line {number} of {path} is no recorded reply: {error}. "
                "Restore the file from a copy, or delete the line."
            ) from None
    return recorded
