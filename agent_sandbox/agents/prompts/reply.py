"""An llm's answer, taken apart into its sections."""

from __future__ import annotations

import re

from agent_sandbox.agents.edits import EditRejected, apply_edits, read_edits, read_file

SECTIONS = ("Thoughts", "Change", "Edits", "File")
_HEADING = re.compile(rf"^#{{1,3}}[ \t]+({'|'.join(SECTIONS)})[ \t]*:?[ \t]*$", re.MULTILINE)
MAX_CHANGE = 200
"""Characters of a change's description."""


def sections(text: str) -> dict[str, str]:
    """What stands under each known heading; of one that comes twice, the last."""
    parts = _HEADING.split(text)
    return {name: body.strip("\n") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def source_of(text: str, parent: str | None, *, whole_files: bool) -> str:
    """The candidate that an answer describes, made from `parent` where there is one.

    Raises EditRejected with the reason, for the llm.
    """
    found = sections(text)
    if parent is None or whole_files:
        return read_file(found.get("File", text))
    if "File" in found and "Edits" not in found:
        raise EditRejected("expected edits of the parent under '## Edits', found a whole file")
    return apply_edits(parent, read_edits(found.get("Edits", text)))


def change_of(text: str) -> str:
    """The one line that says what was changed; empty when the answer has none."""
    lines = [line.strip() for line in sections(text).get("Change", "").splitlines()]
    return next((line for line in lines if line), "")[:MAX_CHANGE]
