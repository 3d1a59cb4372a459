"""What a check hands back: a finding before the check's id and name are stamped on it."""

from __future__ import annotations

from dataclasses import dataclass

from lra_design.records import Finding, Tier

MAX_CHARACTERS = 600
"""Of one text in a finding."""


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One violation; the registry knows which check it belongs to."""

    expected: str
    found: str
    likely_cause: str
    hint: str
    where: str = ""
    tier: Tier = "error"

    def finding(self, check: str, name: str) -> Finding:
        """The finding that this violation is under the check with this id and name."""
        return Finding(
            check=check,
            name=name,
            tier=self.tier,
            expected=self.expected,
            found=plain(self.found),
            likely_cause=self.likely_cause,
            hint=self.hint,
            where=plain(self.where),
        )


def plain(text: str) -> str:
    """The text without control characters, which the candidate may have put there, and cut short.

    What it raises, prints or names ends in terminals, logs and pages.
    """
    cut = text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "..."
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
