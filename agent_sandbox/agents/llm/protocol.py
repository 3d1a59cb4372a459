"""What passes between an agent and the llm that writes for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from lra_design.records.serialised import record

Stop = Literal[
    "end",  # it had said all it wanted to say
    "length",  # it was cut off: at `max_output_tokens`, or because its context was full
    "refused",  # it declined, or the service stopped it for its policy
]


@record
class Turn:
    """One side's words in a conversation. Services refuse empty ones: they get `(nothing)`."""

    role: Literal["user", "assistant"]
    text: str


@record
class Prompt:
    """What an llm is asked. Raises ValueError unless the last turn is the user's."""

    system: str
    """What holds for every request of a run; stable, so that services can cache it."""
    turns: tuple[Turn, ...]
    """The conversation so far, oldest first; the last one is the user's."""
    max_output_tokens: int
    """At most this many tokens are written for one answer, reasoning included."""

    def __post_init__(self) -> None:
        if not self.turns or self.turns[-1].role != "user":
            raise ValueError("expected a conversation that ends with a turn of the user")
        if self.max_output_tokens < 1:
            raise ValueError(f"expected at least 1 token, found {self.max_output_tokens}")


@record
class TokenUsage:
    """Tokens as the service counted them; no token is in two of the first four numbers.

    Services count differently: Anthropic's input excludes what passed through its cache, OpenAI's
    includes it. Here the input is the sum of the first three.
    """

    uncached: int
    """Input that had to be read anew."""
    cache_read: int
    """Input found in the service's cache."""
    cache_write: int
    """Input put into the service's cache."""
    output: int
    """Everything written, reasoning included."""
    reasoning: int | None
    """The part of the output that was reasoning; None when the service does not say."""

    @property
    def total(self) -> int:
        """Input and output."""
        return self.uncached + self.cache_read + self.cache_write + self.output

    def __add__(self, other: TokenUsage) -> TokenUsage:
        known = self.reasoning is not None and other.reasoning is not None
        return TokenUsage(
            uncached=self.uncached + other.uncached,
            cache_read=self.cache_read + other.cache_read,
            cache_write=self.cache_write + other.cache_write,
            output=self.output + other.output,
            reasoning=(self.reasoning or 0) + (other.reasoning or 0) if known else None,
        )


@record
class Reply:
    """A whole answer; what a broken stream had brought is never one."""

    text: str
    usage: TokenUsage | None
    """All that the service reported over all requests; None when it reported nothing."""
    llm: str
    """The name of the llm that answered, as `open_llm` takes it."""
    stop: Stop
    seconds: float
    """From the first request to the end of the answer, waits between requests included."""
    num_requests: int
    """How many requests it took."""


class LLM(Protocol):
    """A writer of text. May be asked from several threads at once."""

    @property
    def name(self) -> str:
        """What `open_llm` was given; written into records."""

    def complete(self, prompt: Prompt, on_text: Callable[[str], None] | None = None) -> Reply:
        """The answer to `prompt`.

        on_text is handed pieces of the answer while they arrive, for display. When a stream breaks
        and the request is made again, the pieces begin anew; only `Reply.text` is the answer.
        Raises LLMFault when there is no whole answer in the end.
        """
