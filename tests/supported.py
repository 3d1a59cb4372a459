"""The modes that a module says it supports, read from its text."""

from __future__ import annotations

import re
from pathlib import Path

from agent_sandbox.validator.validate import Mode

MODES: tuple[Mode, ...] = ("causal", "bidirectional")


def modes(path: Path) -> list[Mode]:
    """The causal one first."""
    text = path.read_text()
    return [mode for mode in MODES if not re.search(rf"supports_{mode}\b.*= False", text)]
