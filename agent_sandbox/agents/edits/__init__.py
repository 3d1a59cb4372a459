"""Surgical changes to a parent's source: read from a reply, applied exactly, and named."""

from agent_sandbox.agents.edits.applying import Edit, EditRejected, apply_edits
from agent_sandbox.agents.edits.labels import changed_parts
from agent_sandbox.agents.edits.reading import read_edits, read_file

__all__ = ["Edit", "EditRejected", "apply_edits", "changed_parts", "read_edits", "read_file"]
