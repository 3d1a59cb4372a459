"""Which known mechanisms a candidate is like: `fingerprint`, then `nearest`."""

from agent_sandbox.fingerprint.nearest import nearest
from agent_sandbox.fingerprint.take import fingerprint

__all__ = ["fingerprint", "nearest"]
