"""What `lra-design doctor` finds: facts, each with the remedy for what it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "missing", "broken"]


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that was looked at."""

    group: str
    name: str
    state: State
    """`broken`: it is there and fails. `warning`: it works, and may not for long."""
    found: str
    remedy: str = ""
    """One sentence or command; empty when there is nothing to do."""
    needed: bool = False
    """Whether validating and training on the processor at level `standard` needs it."""

    @property
    def prevents(self) -> bool:
        """Whether nothing can be validated or trained because of this."""
        return self.needed and self.state in ("missing", "broken")
