"""Judge one candidate: read its text, then examine its behaviour in an isolated worker."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from agent_sandbox.candidate import literal_search_space, source_hash
from agent_sandbox.isolation.protocol import Isolation
from agent_sandbox.validator.built import Broken
from agent_sandbox.validator.examination import Examination, Outline, Patience
from agent_sandbox.validator.process_checks import fault_violation, printed
from agent_sandbox.validator.registry import (
    CHECKS,
    ENTRIES,
    FAST,
    FAULTS,
    MODE_SUPPORTED,
    PRINTED,
    READABLE,
    RULES,
    Check,
    Named,
    Rule,
)
from agent_sandbox.validator.search_space_rules import space_faults
from agent_sandbox.validator.static_rules import claimed_cost, supports
from agent_sandbox.validator.syntax import Syntax, read_syntax
from agent_sandbox.validator.violation import Violation
from lra_design.errors import CandidateFault
from lra_design.records import CheckRun, Finding, Scalar, ValidationReport
from lra_design.versions import current_versions

Mode = Literal["causal", "bidirectional"]


@dataclass
class Results:
    """What the checks have found so far."""

    findings: list[Finding] = field(default_factory=list)
    runs: list[CheckRun] = field(default_factory=list)

    def add(self, entry: Named, violations: Iterable[Violation]) -> None:
        """Keep the violations as findings of this entry."""
        self.findings += [violation.finding(entry.id, entry.name) for violation in violations]

    def add_once(self, entry: Named, violation: Violation) -> None:
        """Keep a violation that many checks can meet, unless one with the same cause is kept."""
        finding = violation.finding(entry.id, entry.name)
        if not any(_same_cause(finding, other) for other in self.findings):
            self.findings.append(finding)

    def record(
        self, entry: Named, num_cases: int, started: float, ended_by: str | None = None
    ) -> None:
        """Keep that the check was run; `ended_by`: what kept it from its verdict."""
        self.runs.append(
            CheckRun(
                check=entry.id,
                name=entry.name,
                num_cases=num_cases,
                num_findings=sum(finding.check == entry.id for finding in self.findings),
                seconds=time.monotonic() - started,
                ended_by=ended_by,
            )
        )

    def has(self, checks: Iterable[str]) -> bool:
        """Whether one of these checks has an error among the findings."""
        errors = {finding.check for finding in self.findings if finding.tier == "error"}
        return not errors.isdisjoint(checks)

    @property
    def failed(self) -> bool:
        """Whether there is an error."""
        return any(finding.tier == "error" for finding in self.findings)


def _same_cause(a: Finding, b: Finding) -> bool:
    """The same check, and the same line of the candidate when both name one."""
    if a.check != b.check:
        return False
    if a.check != FAULTS["raised"].id:
        return True
    kinds = a.found.split(":")[0] == b.found.split(":")[0]
    return kinds and a.where.partition(", line ")[2] == b.where.partition(", line ")[2]


def validate(
    source: bytes,
    isolation: Isolation,
    *,
    mode: Mode = "causal",
    hyperparameters: Mapping[str, Scalar] | None = None,
    seed: int | None = None,
    patience: Patience | None = None,
    max_parameters: int | None = None,
    checks: tuple[Check, ...] = CHECKS,
    rules: tuple[Rule, ...] = RULES,
) -> ValidationReport:
    """Judge `source` against the contract. What it did wrong is in the report, never raised.

    hyperparameters: keyword arguments for the mechanism beyond its defaults. seed: of the inputs;
    None draws one that nobody knows. max_parameters: of one mechanism at the validator's sizes,
    None means `default_cap`. checks and rules: what to ask, `FAST` for ordinary mistakes alone.
    Raises HarnessError when the benchmark or the machine is at fault.
    """
    started = time.monotonic()
    seed = secrets.randbits(63) if seed is None else seed
    results = Results()
    outline, text = _read(source, mode, rules, results)
    examination = None
    if outline is not None and not results.failed:
        examination = Examination(
            isolation,
            text,
            outline,
            causal=mode == "causal",
            hyperparameters=hyperparameters or {},
            seed=seed,
            patience=patience or Patience(),
            max_parameters=max_parameters,
        )
        _examine(examination, checks, results)
    return ValidationReport(
        mechanism=outline.mechanism if outline else None,
        source_hash=source_hash(source),
        mode=mode,
        hyperparameters=dict(hyperparameters or {}),
        findings=tuple(results.findings),
        checks=tuple(results.runs),
        battery=_battery(checks, rules),
        num_parameters=examination.num_parameters if examination else None,
        scaling=examination.scaling if examination else None,
        search_space=outline.search_space if outline else {},
        replay_token=f"{seed:x}",
        seconds=time.monotonic() - started,
        isolation=isolation.record if examination else None,
        versions=current_versions(),
    )


def _battery(
    checks: tuple[Check, ...], rules: tuple[Rule, ...]
) -> Literal["full", "fast", "partial"]:
    if rules != RULES or checks not in (CHECKS, FAST):
        return "partial"
    return "full" if checks == CHECKS else "fast"


def _read(
    source: bytes, mode: Mode, rules: tuple[Rule, ...], results: Results
) -> tuple[Outline | None, str]:
    """The outline and the text of the source; no outline when there is no single mechanism."""
    started = time.monotonic()
    syntax = read_syntax(source)
    results.add(READABLE, [syntax] if isinstance(syntax, Violation) else [])
    results.record(READABLE, 1, started)
    if isinstance(syntax, Violation):
        return None, ""
    for rule in rules:
        started = time.monotonic()
        results.add(rule, rule.run(syntax))
        results.record(rule, 1, started)
    if len(syntax.mechanisms) != 1:
        return None, ""
    outline = _outline(syntax)
    supported = outline.supports_causal if mode == "causal" else outline.supports_bidirectional
    results.add(MODE_SUPPORTED, [] if supported else [_unsupported(mode)])
    return outline, source.decode()


def _outline(syntax: Syntax) -> Outline:
    class_def = syntax.mechanisms[0]
    causal, bidirectional = supports(class_def)
    return Outline(
        mechanism=class_def.name,
        search_space={} if any(space_faults(class_def)) else literal_search_space(class_def),
        supports_causal=causal,
        supports_bidirectional=bidirectional,
        claimed_cost=claimed_cost(class_def),
        numbers=syntax.numbers,
    )


def _unsupported(mode: Mode) -> Violation:
    return Violation(
        expected=f"supports_{mode} = True to be validated as {mode}",
        found=f"supports_{mode} = False",
        likely_cause="the mechanism is meant for the other mode",
        hint="Validate it for the mode that it supports.",
    )


def _examine(examination: Examination, checks: tuple[Check, ...], results: Results) -> None:
    """Run the checks; the worker is gone afterwards, whatever happened."""
    try:
        for check in checks:
            if examination.exhausted:
                break
            if not results.has(check.unless):
                _run(check, examination, results)
        if examination.exhausted and not results.failed:
            _add_fault(CandidateFault("timeout", "no time left for the checks"), "", results)
    finally:
        examination.restart()
    if not results.has([FAULTS["output"].id]):
        results.add(PRINTED, printed(examination.printed))


def _run(check: Check, examination: Examination, results: Results) -> None:
    started, cases, ended_by = time.monotonic(), examination.num_cases, None
    try:
        results.add(check, list(check.run(examination)))
    except Broken as broken:
        ended_by = broken.check
        results.add_once(ENTRIES[broken.check], broken.violation)
    except CandidateFault as fault:
        ended_by = FAULTS[fault.kind].id
        _add_fault(fault, check.name, results)
    results.record(check, examination.num_cases - cases, started, ended_by)


def _add_fault(fault: CandidateFault, check: str, results: Results) -> None:
    results.add_once(FAULTS[fault.kind], fault_violation(fault, check))
