"""Surgical changes to a parent's source: read from a reply, applied exactly, and named."""

from agent_sandbox.agents.edits.applying import Edit, EditRejected, apply_edits
from agent_sandbox.agents.edits.labels import changed_parts
from agent_sandbox.agents.edits.reading import read_edits, read_file
from agent_sandbox.agents.edits.splitting import Ingredient, put_in, split_change

__all__ = [
    "Edit",
    "EditRejected",
    "Ingredient",
    "apply_edits",
    "changed_parts",
    "put_in",
    "read_edits",
    "read_file",
    "split_change",
]
