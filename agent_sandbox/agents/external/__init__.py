"""Agents that are programs of others: a workspace, a desk to ask at, and a process of their own."""

from agent_sandbox.agents.external.agent import ExternalAgent
from agent_sandbox.agents.external.workspace import make_workspace

__all__ = ["ExternalAgent", "make_workspace"]
