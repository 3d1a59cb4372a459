"""A report as text for a terminal or for an agent: the verdict first."""

from __future__ import annotations

from collections import Counter

from lra_design.records import Finding, Scaling, ValidationReport
from lra_design.units import exponent_line, si_number
from lra_design.visible import visible_text


def render_report(report: ValidationReport) -> str:
    """The verdict and what it is worth, every finding with what was expected, the cost."""
    scaling = [_scaling(report.scaling)] if report.scaling else []
    findings = map(render_finding, report.findings)
    return "\n".join([render_verdict(report), *findings, *scaling]) + "\n"


def verdict_word(report: ValidationReport) -> str:
    """`VALID` or `INVALID`."""
    return "VALID" if report.valid else "INVALID"


def render_verdict(report: ValidationReport) -> str:
    """The verdict in one line, and in another whether that is a certificate."""
    tiers = Counter(finding.tier for finding in report.findings)
    counts = [f"{tiers[tier]} {tier}{'s' * (tiers[tier] != 1)}" for tier in tiers]
    name = visible_text(report.mechanism or "no mechanism")
    chosen = "".join(f", {name}={value}" for name, value in report.hyperparameters.items())
    size = f", {report.num_parameters} parameters" if report.num_parameters is not None else ""
    return (
        f"{verdict_word(report)}  {name} ({report.mode}{visible_text(chosen)}{size}): "
        f"{', '.join(counts) or 'no findings'} in {len(report.checks)} checks, "
        f"{report.seconds:.2f} s\n{battery_line(report)}"
    )


def battery_line(report: ValidationReport) -> str:
    """Whether the report is a certificate, and if not, why; with the token that replays it."""
    if report.certified:
        worth = f"certificate of the full battery, contract {report.versions.contract}"
    elif report.battery == "full":
        worth = "no certificate: errors in the full battery"
    else:
        worth = f"no certificate: the {report.battery} battery leaves checks out"
    level = f", isolation {report.isolation.level}" if report.isolation else ""
    return f"{worth}{level}, replay token {report.replay_token}"


def render_finding(finding: Finding) -> str:
    """One finding, with an empty line before it."""
    where = f" ({finding.where})" if finding.where else ""
    return visible_text(
        f"\n{finding.tier.upper()} {finding.check} {finding.name}{where}\n"
        f"  expected  {finding.expected}\n"
        f"  found     {finding.found}\n"
        f"  cause     {finding.likely_cause}\n"
        f"  hint      {finding.hint}"
    )


def _scaling(scaling: Scaling) -> str:
    """The measured cost by length, and the powers of the length fitted to it."""
    lines = ["", f"{'length':>8}{'FLOPs':>11}{'memory':>11}{'time':>11}"]
    for point in scaling.points:
        cells = (
            si_number(point.flops, ""),
            si_number(point.peak_memory_bytes, "B"),
            si_number(point.seconds, "s"),
        )
        lines.append(f"{point.seq_len:>8}" + "".join(f"{cell:>11}" for cell in cells))
    lines += [f"  {exponent_line(exponent)}" for exponent in scaling.exponents]
    claim = "no cost is claimed" if scaling.claimed is None else f"claimed: L^{scaling.claimed:g}"
    return "\n".join([*lines, f"  {claim}"])
