"""A report as text for a terminal or for an agent: the verdict first."""

from __future__ import annotations

from collections import Counter

from lra_design.records import Finding, ValidationReport


def render_report(report: ValidationReport) -> str:
    """The verdict in one line, then every finding with what was expected and what was found."""
    return "\n".join([_verdict(report), *map(render_finding, report.findings)]) + "\n"


def _verdict(report: ValidationReport) -> str:
    tiers = Counter(finding.tier for finding in report.findings)
    counts = [f"{tiers[tier]} {tier}{'s' * (tiers[tier] != 1)}" for tier in tiers]
    name = report.mechanism or "no mechanism"
    size = f", {report.num_parameters} parameters" if report.num_parameters is not None else ""
    return (
        f"{'VALID' if report.valid else 'INVALID'}  {name} ({report.mode}{size}): "
        f"{', '.join(counts) or 'no findings'} in {len(report.checks)} checks, "
        f"{report.seconds:.2f} s"
    )


def render_finding(finding: Finding) -> str:
    """One finding, with an empty line before it."""
    where = f" ({finding.where})" if finding.where else ""
    return (
        f"\n{finding.tier.upper()} {finding.check} {finding.name}{where}\n"
        f"  expected  {finding.expected}\n"
        f"  found     {finding.found}\n"
        f"  cause     {finding.likely_cause}\n"
        f"  hint      {finding.hint}"
    )
