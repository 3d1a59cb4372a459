"""Every search policy by its name, and the options that a text like `greedy:num_drafts=3` sets."""

from __future__ import annotations

from typing import Any, get_type_hints

from agent_sandbox.agents.policies.beam import Beam
from agent_sandbox.agents.policies.common import DraftingPolicy
from agent_sandbox.agents.policies.draws import BestOfN, OneShot
from agent_sandbox.agents.policies.evolutionary import Evolutionary
from agent_sandbox.agents.policies.fixed_point import FixedPoint
from agent_sandbox.agents.policies.greedy import Greedy
from agent_sandbox.agents.policies.learned import Learned
from agent_sandbox.agents.policies.mcts import MonteCarloTreeSearch
from agent_sandbox.agents.policies.protocol import Policy
from lra_design.errors import UsageError, unknown_name

_KINDS: tuple[type[DraftingPolicy], ...] = (
    OneShot,
    BestOfN,
    Learned,
    Greedy,
    Beam,
    MonteCarloTreeSearch,
    Evolutionary,
    FixedPoint,
)
POLICIES = {kind.kind: kind for kind in _KINDS}


def policy_names() -> list[str]:
    """What `get_policy` knows, the simplest first."""
    return list(POLICIES)


def get_policy(text: str, seed: int = 0) -> Policy:
    """The policy that `NAME` or `NAME:option=value,option=value` means.

    Raises UsageError naming the nearest when there is no such policy or option, or saying what is
    expected of a value that is none.
    """
    name, separator, listed = text.partition(":")
    if name not in POLICIES:
        raise unknown_name("policy", name, POLICIES)
    kind = POLICIES[name]
    options = _options(kind, listed.split(",")) if separator else {}
    try:
        return kind(seed=seed, **options)
    except ValueError as error:
        raise UsageError(f"policy '{name}': {error}") from None


def _options(kind: type[DraftingPolicy], pairs: list[str]) -> dict[str, Any]:
    """The values by name; each option once."""
    known = [field.name for field in kind.options()]
    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = (part.strip() for part in pair.partition("="))
        if not separator:
            raise UsageError(
                f"expected option=value after '{kind.kind}:', found '{pair}'. "
                f"Options: {', '.join(known)}."
            )
        if name not in known:
            raise unknown_name(f"option of policy '{kind.kind}'", name, known)
        if name in options:
            raise UsageError(f"expected option '{name}' once, found it twice")
        options[name] = _value(kind, name, value)
    return options


def _value(kind: type[DraftingPolicy], name: str, text: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    hint = get_type_hints(kind)[name]
    try:
        return TypeAdapter(hint).validate_strings(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise UsageError(
            f"option '{name}' of policy '{kind.kind}': {reason}, found '{text}'"
        ) from None
