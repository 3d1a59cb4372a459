"""How long and how often a service is asked for one answer."""

from __future__ import annotations

import random
from dataclasses import dataclass

from agent_sandbox.agents.llm.faults import TRANSIENT, LLMFault


@dataclass(frozen=True, kw_only=True)
class Patience:
    """The limits of one answer. The SDKs' own retries are off, so that every request is counted."""

    num_requests: int = 6
    """At most so many requests."""
    seconds: float = 1800.0
    """For all requests and the waits between them; a stream still running then is cut off."""
    silent_seconds: float = 300.0
    """The longest time in which nothing at all comes from the service."""
    first_wait: float = 1.0
    """Seconds before the second request; doubled with each further one, at most a minute."""
    longest_wait: float = 300.0
    """A service that asks for a longer wait is not waited for."""

    def wait_after(self, fault: LLMFault, num_requests: int, seconds_left: float) -> float | None:
        """Seconds to wait before asking again, after `num_requests`; None to give up.

        Without a wish of the service the wait is drawn from the upper half of the back-off, so that
        agents that failed together do not come back together.
        """
        if fault.kind not in TRANSIENT or num_requests >= self.num_requests:
            return None
        wait = fault.retry_after
        if wait is None:
            wait = min(self.first_wait * 2 ** (num_requests - 1), 60.0) * random.uniform(0.5, 1.0)
        return wait if wait <= self.longest_wait and wait < seconds_left else None
