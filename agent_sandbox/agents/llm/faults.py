"""Why an llm gave no answer. Never the candidate's fault, and never a finding."""

from __future__ import annotations

from typing import Literal

from agent_sandbox.agents.llm.protocol import TokenUsage
from lra_design.errors import HarnessError

LLMFaultKind = Literal[
    "authentication",  # no key, a wrong one, or one that may not use this llm
    "quota",  # the account has nothing left to spend
    "rate limit",  # too many requests, also after all retries
    "unavailable",  # the service cannot be reached or is overloaded
    "timeout",  # no answer, or no end of it, in time
    "truncated",  # the stream broke off before the answer was whole
    "garbled",  # what came is no answer of this protocol
    "refused",  # the service's policy forbids the request: it was not answered at all
    "bad request",  # the service does not know the llm or does not accept the request
    "no answer",  # a recording or a script has no answer to this request
]

TRANSIENT: frozenset[LLMFaultKind] = frozenset(
    {"rate limit", "unavailable", "timeout", "truncated", "garbled"}
)
"""What may be gone the next time; such a request is made again."""

_REMEDIES: dict[LLMFaultKind, str] = {
    "authentication": "Put a valid key for this service into the environment: docs/llms.md.",
    "quota": "Add credit to the account, or use another key.",
    "rate limit": "Wait, run fewer agents at once, or raise the account's limits.",
    "unavailable": "Make sure that the address is right and the service is up, then go on.",
    "timeout": "Try again, ask for fewer tokens, or give it more time.",
    "truncated": "Try again; if it happens every time, something on the way cuts streams off.",
    "garbled": "Make sure that the address is that of such a service.",
    "refused": "Change the prompt, or use another llm.",
    "bad request": "Make sure of the llm's name, the address and the size of the prompt.",
    "no answer": "Record it with the llm itself, or add an answer.",
}


class LLMFault(HarnessError):
    """There is no whole answer: `kind` says why, `detail` what was found.

    `usage` and `num_requests` say what the attempt has cost all the same. Holds no key.
    """

    def __init__(
        self,
        kind: LLMFaultKind,
        detail: str,
        *,
        retry_after: float | None = None,
        usage: TokenUsage | None = None,
        num_requests: int = 0,
    ) -> None:
        super().__init__(f"llm {kind}: {detail.rstrip('. ')}. {_REMEDIES[kind]}")
        self.kind: LLMFaultKind = kind
        self.detail = detail
        self.retry_after = retry_after
        """Seconds that the service asks to wait; None when it does not say."""
        self.usage = usage
        self.num_requests = num_requests

    def __reduce__(self) -> tuple[object, ...]:
        """Exceptions are rebuilt from their message alone; this one crosses processes whole."""
        return _rebuilt, (self.kind, self.detail, self.retry_after, self.usage, self.num_requests)


def _rebuilt(
    kind: LLMFaultKind,
    detail: str,
    retry_after: float | None,
    usage: TokenUsage | None,
    num_requests: int,
) -> LLMFault:
    return LLMFault(kind, detail, retry_after=retry_after, usage=usage, num_requests=num_requests)
