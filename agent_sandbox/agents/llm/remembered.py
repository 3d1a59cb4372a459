"""An llm whose every answer goes into the journal, and is read from there after an interruption."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agent_sandbox.agents.journal import Journal
from agent_sandbox.agents.llm.prices import cost
from agent_sandbox.agents.llm.protocol import LLM, Prompt, Reply
from lra_design.records import NOTHING, Spending, from_json, record, to_json


@record
class Exchange:
    """One question and its answer, as the journal keeps them."""

    prompt: Prompt
    reply: Reply


class RememberingLLM:
    """What is asked for one attempt; an `LLM`.

    A question that was answered before, for the same attempt, is not asked again: an attempt that
    was interrupted between two of its questions goes on with the second.
    """

    def __init__(self, llm: LLM, journal: Journal, attempt: int) -> None:
        self._llm = llm
        self._journal = journal
        self._attempt = attempt
        self._answered = journal.exchanges(attempt)

    @property
    def name(self) -> str:
        """That of the llm."""
        return self._llm.name

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """The answer, from the journal or from the llm; see `LLM.complete`."""
        request = hashlib.sha256(f"{self.name}\n{to_json(prompt)}".encode()).hexdigest()
        for place, (known, text) in enumerate(self._answered):
            if known == request:
                del self._answered[: place + 1]
                return from_json(Exchange, text).reply
        reply = self._llm.complete(prompt, on_text)
        exchange = Exchange(prompt=prompt, reply=reply)
        self._journal.keep_exchange(self._attempt, request, to_json(exchange))
        return reply


def llm_spending(journal: Journal, attempt: int) -> Spending:
    """What the llm took for that attempt; None where it did not say, or has no known price."""
    spent = NOTHING
    for _, text in journal.exchanges(attempt):
        reply = from_json(Exchange, text).reply
        tokens = reply.usage.total if reply.usage else None
        spent += Spending(attempts=0, tokens=tokens, dollars=cost(reply))
    return spent
