"""What texts say: the modes that a module supports, the checks that only warn."""

from __future__ import annotations

import re
from pathlib import Path

from agent_sandbox.validator.pages import page, page_ids
from agent_sandbox.validator.pages.index import facts
from agent_sandbox.validator.validate import Mode

MODES: tuple[Mode, ...] = ("causal", "bidirectional")
WARNINGS = frozenset(check for check in page_ids() if facts(page(check))["Tier"] == "warning")


def modes(path: Path) -> list[Mode]:
    """The causal one first."""
    text = path.read_text()
    return [mode for mode in MODES if not re.search(rf"supports_{mode}\b.*= False", text)]
