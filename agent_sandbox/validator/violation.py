"""What a check hands back: a finding before the check's id and name are stamped on it."""

from __future__ import annotations

from dataclasses import dataclass

from lra_design.records import Finding, Tier


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
            found=self.found,
            likely_cause=self.likely_cause,
            hint=self.hint,
            where=self.where,
        )
