"""Anthropic's Messages API, through Anthropic's SDK.

https://platform.claude.com/docs/en/api/messages and, for the stream,
https://platform.claude.com/docs/en/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import anthropic
import anthropic.resources.messages  # else loaded by the first request, in the time of its answer
from anthropic.types import RawMessageStreamEvent

from agent_sandbox.agents.llm.faults import LLMFault
from agent_sandbox.agents.llm.heard import Heard, counted
from agent_sandbox.agents.llm.http import connection, fault_of
from agent_sandbox.agents.llm.key import Key
from agent_sandbox.agents.llm.protocol import Prompt, Stop
from agent_sandbox.agents.llm.service import EMPTY

ADDRESS = "https://api.anthropic.com"

_STOPS: dict[str, Stop] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refused",
}
_CACHED = {"cache_control": {"type": "ephemeral"}}


class AnthropicEndpoint:
    """The llm `llm` at `address`, or at Anthropic's own."""

    def __init__(self, llm: str, address: str | None, key: Key) -> None:
        self._llm = llm
        self._address = address or ADDRESS
        self._key = key

    def ask(
        self, prompt: Prompt, heard: Heard, deadline: float, silent_seconds: float
    ) -> Generator[str]:
        """See `Endpoint.ask`."""
        with (
            anthropic.Anthropic(
                api_key=self._key.value(),
                base_url=self._address,
                open_telemetry=False,
                **connection(anthropic, deadline, silent_seconds),
            ) as client,
            client.messages.create(stream=True, **self._request(prompt)) as events,
        ):
            listening = _Listening(heard)
            for event in events:
                if piece := listening.hear(event):
                    yield piece

    def fault(self, error: Exception, heard: Heard) -> LLMFault:
        """See `Endpoint.fault`."""
        return fault_of(error, anthropic, heard)

    def _request(self, prompt: Prompt) -> dict[str, Any]:
        """The cache is asked to keep the system's part, and a conversation once it goes on."""
        messages: list[dict[str, Any]] = [
            {"role": turn.role, "content": [{"type": "text", "text": turn.text.strip() or EMPTY}]}
            for turn in prompt.turns
        ]
        if len(messages) > 1:
            messages[-1]["content"][0] |= _CACHED
        system = [{"type": "text", "text": prompt.system, **_CACHED}]
        return {
            "model": self._llm,
            "max_tokens": prompt.max_output_tokens,
            "messages": messages,
            **({"system": system} if prompt.system.strip() else {}),
        }


class _Listening:
    """Hears one stream: a message starts, has blocks, is told why it stopped, stops."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard
        self._counts: dict[str, Any] = {}
        self._reason: str | None = None

    def hear(self, event: RawMessageStreamEvent) -> str | None:
        """The piece of text in `event`, if it has one. Raises LLMFault when it has no sense."""
        try:
            return self._hear(event)
        except (AttributeError, TypeError) as error:
            raise LLMFault("garbled", f"expected an event of a message, found: {error}") from None

    def _hear(self, event: RawMessageStreamEvent) -> str | None:
        if event.type == "message_start":
            self._heard.begun = True
            self._count(event.message.usage)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            return self._heard.add(event.delta.text)
        elif event.type == "message_delta":
            self._reason = event.delta.stop_reason or self._reason
            self._count(event.usage)
        elif event.type == "message_stop":
            self._stop()
        return None

    def _count(self, usage: Any) -> None:
        """Take over what is told: the counts are cumulative, and a later event may leave some out.

        Input tokens are those that did not pass through the cache.
        """
        counts = {name: value for name, value in usage.to_dict().items() if value is not None}
        self._counts |= counts
        details = self._counts.get("output_tokens_details")
        self._heard.usage = counted(
            input_tokens=self._counts.get("input_tokens"),
            cache_read=self._counts.get("cache_read_input_tokens"),
            cache_write=self._counts.get("cache_creation_input_tokens"),
            output=self._counts.get("output_tokens"),
            reasoning=details.get("thinking_tokens") if isinstance(details, dict) else None,
            input_includes_cache=False,
        )

    def _stop(self) -> None:
        if self._reason is None:
            return  # the end of no answer: a stream that was cut off and patched up on the way
        if self._reason not in _STOPS:
            raise LLMFault(
                "garbled", f"expected an answer in words, found that it stopped for {self._reason}"
            )
        self._heard.stop = _STOPS[self._reason]
