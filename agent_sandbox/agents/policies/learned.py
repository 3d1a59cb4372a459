"""Drafts from a writer that learns between rounds: no parents, all is in what the writer learnt."""

from __future__ import annotations

from dataclasses import dataclass

from agent_sandbox.agents.policies.common import check_least
from agent_sandbox.agents.policies.draws import BestOfN


@dataclass(frozen=True, kw_only=True)
class Learned(BestOfN):
    """As best-of-n, over `LearnedOperators`, which whoever makes the agent puts beside it."""

    kind = "learned"

    round_size: int = 6
    """Attempts before the writer is refreshed."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, 1, "round_size")
