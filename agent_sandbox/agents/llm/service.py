"""An llm behind a service on the network: asked until an answer is whole, or given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.heard import Heard
from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.patience import Patience
from agent_sandbox.agents.llm.protocol import Prompt, Reply, TokenUsage

EMPTY = "(nothing)"
"""Sent for a turn without words, which services refuse."""


class Endpoint(Protocol):
    """One service in its own protocol."""

    def ask(
        self, prompt: Prompt, heard: Heard, deadline: float, silent_seconds: float
    ) -> Generator[str]:
        """Make one request and yield the answer's pieces while it arrives, told to `heard`.

        Raises LLMFault, and what `fault` makes one of.
        """

    def fault(self, error: Exception, heard: Heard) -> LLMFault:
        """What an error of `ask` means. Raises `error` when it is not the service's."""


class ServiceLLM:
    """The llm at `endpoint`. Holds no key."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        key: Key,
        patience: Patience,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self._endpoint = endpoint
        self._key = key
        self._patience = patience
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"ServiceLLM({self.name!r})"

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """See `LLM.complete`. A request that failed in passing is made again, with `Patience`."""
        began = time.monotonic()
        deadline = began + self._patience.seconds
        usage: TokenUsage | None = None
        num_requests = 0
        while True:
            num_requests += 1
            heard = Heard()
            fault = self._request(prompt, heard, deadline, on_text)
            usage = _sum(usage, heard.usage)
            if fault is None:
                return self._reply(heard, usage, time.monotonic() - began, num_requests)
            left = deadline - time.monotonic()
            wait = self._patience.wait_after(fault, num_requests, left)
            if wait is None:
                raise self._final(fault, usage, num_requests)
            self._sleep(wait)

    def _request(
        self,
        prompt: Prompt,
        heard: Heard,
        deadline: float,
        on_text: Callable[[str], None] | None,
    ) -> LLMFault | None:
        """Why one request brought no whole answer; None when it did.

        The fault is handed back, not raised, so that the SDK's error does not hang on it: that
        one knows the headers of the request, and they hold the key.
        """
        asked = self._endpoint.ask(prompt, heard, deadline, self._patience.silent_seconds)
        with closing(asked) as pieces:
            while True:
                try:
                    piece = next(pieces, None)
                except Exception as error:
                    return self._endpoint.fault(error, heard)
                if piece is None:
                    break
                if on_text is not None:
                    on_text(piece)
        if heard.stop is not None:
            return None
        return LLMFault("truncated", f"the stream ended in mid-answer, at {len(heard.text)} signs")

    def _reply(
        self, heard: Heard, usage: TokenUsage | None, seconds: float, num_requests: int
    ) -> Reply:
        assert heard.stop is not None
        return Reply(
            text=self._key.hide(heard.text),
            usage=usage,
            llm=self.name,
            stop=heard.stop,
            seconds=seconds,
            num_requests=num_requests,
        )

    def _final(self, fault: LLMFault, usage: TokenUsage | None, num_requests: int) -> LLMFault:
        """The fault that is raised: whose, after how many requests, what they used."""
        times = "1 request" if num_requests == 1 else f"{num_requests} requests"
        wish = f"; asked to wait {fault.retry_after:.0f} s" if fault.retry_after else ""
        return LLMFault(
            fault.kind,
            self._key.hide(f"{self.name}, {times}: {fault.detail.rstrip('. ')}{wish}"),
            retry_after=fault.retry_after,
            usage=usage,
            num_requests=num_requests,
        )


def _sum(one: TokenUsage | None, other: TokenUsage | None) -> TokenUsage | None:
    return one + other if one and other else one or other
