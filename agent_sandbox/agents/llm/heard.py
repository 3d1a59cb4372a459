"""What one request has brought so far."""

from __future__ import annotations

from agent_sandbox.agents.llm.protocol import Stop, TokenUsage


class Heard:
    """The answer to one request while it arrives; whole only once `stop` is set."""

    def __init__(self) -> None:
        self.begun = False
        """Whether anything of an answer has come."""
        self.pieces: list[str] = []
        self.usage: TokenUsage | None = None
        self.stop: Stop | None = None
        """Why the answer ended; None while it has not."""

    @property
    def text(self) -> str:
        """The pieces in one."""
        return "".join(self.pieces)

    def add(self, piece: object) -> str:
        """Take a piece of text. Raises TypeError when it is none."""
        if not isinstance(piece, str):
            raise TypeError(f"{type(piece).__name__} where text belongs")
        self.pieces.append(piece)
        return piece


def counted(
    *,
    input_tokens: object,
    cache_read: object,
    cache_write: object,
    output: object,
    reasoning: object,
    input_includes_cache: bool,
) -> TokenUsage | None:
    """The usage that a service reported; None unless it counted its input and its output.

    What it does not say about its cache is 0, because a service without one says nothing.
    """
    if not isinstance(input_tokens, int) or not isinstance(output, int):
        return None
    read = cache_read if isinstance(cache_read, int) else 0
    written = cache_write if isinstance(cache_write, int) else 0
    cached = read + written if input_includes_cache else 0
    return TokenUsage(
        uncached=max(0, input_tokens - cached),
        cache_read=read,
        cache_write=written,
        output=output,
        reasoning=reasoning if isinstance(reasoning, int) else None,
    )
