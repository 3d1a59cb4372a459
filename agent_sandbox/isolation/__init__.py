"""Keeps the judge and the candidate in different processes. See `protocol` and `standard`."""

from agent_sandbox.isolation.protocol import Isolation, Message, Worker
from agent_sandbox.isolation.standard import open_isolation

__all__ = ["Isolation", "Message", "Worker", "open_isolation"]
