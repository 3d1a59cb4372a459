"""What one opened isolation allows its workers: the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from agent_sandbox.isolation.cards import Card
from agent_sandbox.isolation.reach import Rule
from lra_design.records import Level, Profile


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Level, profile and reach."""

    level: Level
    profile: Profile
    rules: tuple[Rule, ...]
    card: Card | None = None
    """The GPU that workers may use; None: the processor alone."""
    own_network: bool = False
    """Workers may use TCP, in a network that holds nothing but a door to the judge."""
