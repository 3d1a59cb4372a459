"""OpenAI's Responses API, through OpenAI's SDK; also of servers that speak it: vLLM, Ollama.

https://developers.openai.com/api/reference/resources/responses
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Any

import openai
import openai.resources.responses  # else loaded by the first request, in the time of its answer
from openai.types.responses import Response, ResponseStreamEvent

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.heard import Heard, counted
from agent_sandbox.agents.llm.http import connection, fault_of, told_fault
from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.protocol import Prompt, Stop
from agent_sandbox.agents.llm.service import EMPTY

ADDRESS = "https://api.openai.com/v1"

_CUT_OFF: dict[str | None, Stop] = {
    "max_output_tokens": "length",
    None: "length",
    "content_filter": "refused",
}


class OpenAIEndpoint:
    """The llm `llm` at `address`, or at OpenAI's own."""

    def __init__(self, llm: str, address: str | None, key: Key) -> None:
        self._llm = llm
        self._address = address or ADDRESS
        self._key = key

    def ask(
        self, prompt: Prompt, heard: Heard, deadline: float, silent_seconds: float
    ) -> Generator[str]:
        """See `Endpoint.ask`."""
        with (
            openai.OpenAI(
                api_key=self._key.value(),
                base_url=self._address,
                **connection(openai, deadline, silent_seconds),
            ) as client,
            client.responses.create(stream=True, **self._request(prompt)) as events,
        ):
            listening = _Listening(heard)
            for event in events:
                if piece := listening.hear(event):
                    yield piece

    def fault(self, error: Exception, heard: Heard) -> LLMFault:
        """See `Endpoint.fault`."""
        fault = fault_of(error, openai, heard)
        if isinstance(error, openai.NotFoundError):
            detail = f"{fault.detail}; expected the Responses API at {self._address}/responses"
            return LLMFault(fault.kind, detail)
        return fault

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        """Nothing is stored at the service. Prompts with the same system's part share a cache."""
        turns = [
            {"role": turn.role, "content": turn.text.strip() or EMPTY} for turn in prompt.turns
        ]
        prefix = hashlib.sha256(prompt.system.encode()).hexdigest()[:32]
        # OpenAI's own tiers have prices of their own; ours are those of the default one.
        own = {"service_tier": "default"} if self._address == ADDRESS else {}
        return {
            "model": self._llm,
            "input": turns,
            "max_output_tokens": prompt.max_output_tokens,
            "store": False,
            "prompt_cache_key": f"lra-design-{prefix}",
            **({"instructions": prompt.system} if prompt.system.strip() else {}),
            **own,
        }


class _Listening:
    """Hears one stream: a response is created, text arrives, the response is done."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._refused = False

    def hear(self, event: ResponseStreamEvent) -> str | None:
        """The piece of text in `event`, if it has one. Raises LLMFault when it has no sense."""
        try:
            return self._hear(event)
        except (AttributeError, TypeError) as error:
            raise LLMFault("garbled", f"expected an event of a response, found: {error}") from None

    def _hear(self, event: ResponseStreamEvent) -> str | None:
        self._heard.begun = True
        if event.type in ("response.output_text.delta", "response.refusal.delta"):
            self._refused |= event.type == "response.refusal.delta"
            return self._heard.add(event.delta)
        if event.type == "error":
            raise told_fault({"code": event.code, "message": event.message})
        if event.type == "response.failed":
            self._count(event.response)
            error = event.response.error
            raise told_fault(error.to_dict() if error else None)
        if event.type in ("response.completed", "response.incomplete"):
            return self._done(event.response)
        return None

    def _done(self, response: Response) -> str | None:
        """Set why it ended; hands back the text of a server that did not stream it."""
        self._count(response)
        if response.status == "incomplete":
            details = response.incomplete_details
            reason = details.reason if details else None
            if reason not in _CUT_OFF:
                raise LLMFault("garbled", f"expected a whole answer, found one cut by {reason}")
            self._heard.stop = _CUT_OFF[reason]
        else:
            self._heard.stop = "refused" if self._refused else "end"
        return None if self._heard.pieces else self._heard.add(response.output_text)

    def _count(self, response: Response) -> None:
        """Input tokens include what passed through the cache."""
        usage = response.usage.to_dict() if response.usage else {}
        inputs, outputs = (
            details if isinstance(details := usage.get(name), dict) else {}
            for name in ("input_tokens_details", "output_tokens_details")
        )
        self._heard.usage = counted(
            input_tokens=usage.get("input_tokens"),
            cache_read=inputs.get("cached_tokens"),
            cache_write=inputs.get("cache_write_tokens"),
            output=usage.get("output_tokens"),
            reasoning=outputs.get("reasoning_tokens"),
            input_includes_cache=True,
        )
