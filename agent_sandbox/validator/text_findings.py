"""The findings of a candidate's text alone, without running anything."""

from __future__ import annotations

from agent_sandbox.validator.registry import READABLE, RULES
from agent_sandbox.validator.syntax import read_syntax
from agent_sandbox.validator.violation import Violation
from lra_design.records import Finding


def text_findings(source: bytes) -> list[Finding]:
    """What the static rules find, none masking another; empty when the text is in order."""
    syntax = read_syntax(source)
    if isinstance(syntax, Violation):
        return [syntax.finding(READABLE.id, READABLE.name)]
    return [found.finding(rule.id, rule.name) for rule in RULES for found in rule.run(syntax)]
