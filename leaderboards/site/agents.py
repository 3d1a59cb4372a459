"""How many of each agent's submissions were valid: beside the scores, never mixed into them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leaderboards.contents import Search
from leaderboards.intervals import wilson_interval


@dataclass(frozen=True)
class AgentView:
    """What one agent handed in, over all its searches."""

    name: str
    num_searches: int
    num_attempts: int
    num_valid: int
    low: float
    """95 % interval of the share of valid ones (Wilson)."""
    high: float

    @property
    def valid_rate(self) -> float:
        """Share of the attempts that were valid, in [0, 1]."""
        return self.num_valid / self.num_attempts


def agent_name(search: Search) -> str:
    """`evolution`, `greedy with openai:gpt-5`, or the command of a program of its own."""
    settings = search.settings
    if settings.get("agent"):
        return str(settings["agent"])
    policy = str(settings.get("policy") or search.name)
    return f"{policy} with {settings['llm']}" if settings.get("llm") else policy


def agent_views(searches: Iterable[Search]) -> list[AgentView]:
    """Agents with at least one attempt, by name."""
    groups: dict[str, list[Search]] = {}
    for search in searches:
        groups.setdefault(agent_name(search), []).append(search)
    views = [_view(name, groups[name]) for name in sorted(groups)]
    return [view for view in views if view is not None]


def _view(name: str, searches: list[Search]) -> AgentView | None:
    attempts = [attempt for search in searches for attempt in search.attempts]
    if not attempts:
        return None
    num_valid = sum(attempt.feedback.report.valid for attempt in attempts)
    low, high = wilson_interval(num_valid / len(attempts), len(attempts))
    return AgentView(name, len(searches), len(attempts), num_valid, low, high)
