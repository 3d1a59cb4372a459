"""Keys of services: they stand in the environment, and come from nowhere else."""

from __future__ import annotations

import os
from dataclasses import dataclass

from agent_sandbox.agents.llm.faults import LLMFault

_NUM_SECRET = 16
"""A shorter key is a word for a local server, `ollama` say, and may stand in any text."""


@dataclass(frozen=True)
class Key:
    """The key in the environment variable `variable`: read when it is needed, kept nowhere."""

    variable: str
    required: bool = True
    """Whether the service asks for one; a local server may not."""

    def value(self) -> str:
        """The key; `none` when none is needed and there is none.

        Raises LLMFault when there is none or it cannot be one. What is sent in a header must be
        printable, and the error of the library that finds it is not would quote the key.
        """
        key = os.environ.get(self.variable, "").strip()
        if not key and self.required:
            raise LLMFault(
                "authentication", f"expected a key in {self.variable}, found nothing there"
            )
        if not all("!" <= character <= "~" for character in key):
            raise LLMFault(
                "authentication",
                f"expected a key in {self.variable}, found blanks or signs that no key has",
            )
        return key or "none"

    def hide(self, text: str) -> str:
        """`text` without the key, should it have come back from the service."""
        key = os.environ.get(self.variable, "").strip()
        return text.replace(key, f"[{self.variable}]") if len(key) >= _NUM_SECRET else text
