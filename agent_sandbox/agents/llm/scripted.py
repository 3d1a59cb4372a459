"""Answers that were written beforehand, given in their order: for demonstrations and tests."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.protocol import Prompt, Reply, Stop
from lra_design.errors import UsageError

Answer = str | Reply | LLMFault
"""Words, a whole reply, or a fault to raise."""
_HEADING = re.compile(r"^--- answer(?:: (\w+))? ---$", re.MULTILINE)


class ScriptedLLM:
    """Gives `answers` one after another, or what they are as a function of the prompt."""

    def __init__(
        self,
        answers: Sequence[Answer] | Callable[[Prompt], Answer],
        *,
        name: str = "scripted",
        num_given: int = 0,
    ) -> None:
        """num_given: answers to leave out, because they were given before an interruption."""
        self.name = name
        self._answers = answers
        self._num_given = num_given
        self._lock = threading.Lock()

    @classmethod
    def from_file(cls, path: Path, num_given: int = 0) -> ScriptedLLM:
        """The answers in a text file. Each begins after a line `--- answer ---`.

        `--- answer: refused ---` and `--- answer: length ---` say how else an answer ended.
        Raises UsageError when there is no such file, or nothing of the kind in it.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"expected answers in {path}, found no text: {error}") from None
        name = f"scripted:{path}"
        before, *parts = _HEADING.split(text)
        if before.strip() or not parts:
            raise UsageError(
                f"expected {path} to begin with a line '--- answer ---', found "
                f"{before.strip()[:40]!r}. Put that line before each answer."
            )
        replies = [_reply(*pair, name) for pair in zip(parts[::2], parts[1::2], strict=True)]
        return cls(replies, name=name, num_given=num_given)

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """See `LLM.complete`. Raises LLMFault once the answers are used up."""
        answer = self._next(prompt)
        if isinstance(answer, LLMFault):
            raise answer
        reply = answer if isinstance(answer, Reply) else _reply("end", answer, self.name)
        if on_text is not None:
            on_text(reply.text)
        return reply

    def _next(self, prompt: Prompt) -> Answer:
        with self._lock:
            index = self._num_given
            self._num_given += 1
        if callable(self._answers):
            return self._answers(prompt)
        if index >= len(self._answers):
            raise LLMFault(
                "no answer",
                f"{self.name} holds {len(self._answers)} answers and was asked once more",
            )
        return self._answers[index]


def _reply(stop: str | None, text: str, name: str) -> Reply:
    """A reply that took no time and used no tokens that anybody counted."""
    stop = stop or "end"
    if stop not in get_args(Stop):
        raise UsageError(f"expected an answer: {' or '.join(get_args(Stop))}, found '{stop}'")
    return Reply(
        text=text.strip("\n"),
        usage=None,
        llm=name,
        stop=cast(Stop, stop),
        seconds=0.0,
        num_requests=1,
    )
