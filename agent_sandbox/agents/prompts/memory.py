"""What earlier attempts taught, in a line each: what helped, what misled, what was only noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agent_sandbox.validator.render import render_finding
from lra_design.records import Attempt

NUM_REMEMBERED = 24
"""Attempts in a memory; the family of the parents comes first, then the latest."""


def remembered(history: Sequence[Attempt], parents: Sequence[Attempt], noise: float | None) -> str:
    """The attempts that matter to children of `parents`, oldest first; empty without any.

    noise: standard deviation of an accuracy over seeds, None where it is not known.
    """
    by_hash = {attempt.source_hash: attempt for attempt in history}
    family = _family(history, parents, by_hash)
    others = [attempt for attempt in reversed(history) if attempt.index not in family]
    chosen = [*(history[index] for index in sorted(family)), *others][:NUM_REMEMBERED]
    lines = [_line(attempt, by_hash, noise) for attempt in sorted(chosen, key=lambda a: a.index)]
    return "\n".join(lines)


def outcome(attempt: Attempt) -> str:
    """Scores and findings of one attempt, in full."""
    feedback = attempt.feedback
    scores = [
        f"{score.task}: {100 * score.accuracy:.1f} %"
        + "".join(f", at {group.group}: {100 * group.accuracy:.0f} %" for group in score.groups)
        for score in feedback.scores
    ]
    findings = [*feedback.report.findings, *([feedback.failure] if feedback.failure else [])]
    told = [render_finding(finding).strip() for finding in findings]
    return "\n".join([*scores, *told]) or "Valid; not trained."


def _family(
    history: Sequence[Attempt], parents: Sequence[Attempt], by_hash: dict[str, Attempt]
) -> set[int]:
    """Ancestors of `parents`, and all their children."""
    family, open_ones = set(), list(parents)
    while open_ones:
        attempt = open_ones.pop()
        if attempt.index not in family:
            family.add(attempt.index)
            open_ones += [by_hash[h] for h in attempt.proposal.parents if h in by_hash]
    hashes = {history[index].source_hash for index in family}
    return family | {a.index for a in history if hashes & set(a.proposal.parents)}


def _line(attempt: Attempt, by_hash: dict[str, Attempt], noise: float | None) -> str:
    parents = [by_hash[h] for h in attempt.proposal.parents if h in by_hash]
    origin = " of " + " and ".join(str(parent.index) for parent in parents) if parents else ""
    head = f"- {attempt.index}, {attempt.proposal.operator}{origin}: {attempt.proposal.change}"
    mean = attempt.feedback.mean_accuracy
    if mean is None:
        return f"{head} -> failed: {_failure(attempt)}"
    return f"{head} -> {100 * mean:.1f} %{_verdict(mean, parents, noise)}"


def _verdict(mean: float, parents: Sequence[Attempt], noise: float | None) -> str:
    """How it compares with the best of its parents."""
    means = [p.feedback.mean_accuracy for p in parents if p.feedback.mean_accuracy is not None]
    if not means:
        return ""
    gain = mean - max(means)
    words = f" ({100 * gain:+.1f} points"
    if noise is None:
        return f"{words})"
    # both means are of one seed each; twice the deviation of their difference
    if abs(gain) <= 2 * math.sqrt(2) * noise:
        return f"{words}: within noise)"
    return f"{words}: {'helped' if gain > 0 else 'misled'})"


def _failure(attempt: Attempt) -> str:
    errors = [finding for finding in attempt.feedback.report.findings if finding.tier == "error"]
    found = errors[0] if errors else attempt.feedback.failure
    return f"{found.check} {found.name}: {found.found}" if found else "not trained"
