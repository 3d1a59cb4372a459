"""The search policies: what is done to which attempts next. `get_policy` finds one by its name."""

from agent_sandbox.agents.policies.protocol import Policy
from agent_sandbox.agents.policies.registry import get_policy, policy_names

__all__ = ["Policy", "get_policy", "policy_names"]
