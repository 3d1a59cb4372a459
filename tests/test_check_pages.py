"""Every check has a page, and what the page claims of its examples is so.

The examples are candidates: they run in the isolation alone.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.examination import Patience
from agent_sandbox.validator.pages import page, page_ids
from agent_sandbox.validator.pages.index import INDEX_FILE, facts, index
from agent_sandbox.validator.registry import (
    AFTER_TRAINING,
    CHECKS,
    ENTRIES,
    FAST,
    RULES,
    Check,
    Rule,
)
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import validate
from lra_design.errors import CandidateRefused, UsageError
from lra_design.records import HostConfig, TrainConfig, ValidationReport
from trainers.job import Job
from trainers.referee import score_run
from trainers.training import train

ROOT = Path(__file__).parent.parent
SECTIONS = ("Demands", "Why", "Fails", "Mend")
EXAMPLE = re.compile(r"^```python(?P<title>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
NEEDS_TRAINING = ' title="needs training"'
SHAPE = tuple(check for check in CHECKS if check.name == "shape")
"""The calls in which a fault of the process is met as well as in any other."""
SHORT = {
    "LRA401": Patience(call_seconds=0.5, max_deaths=1),
    "LRA407": Patience(memory_bytes=256 * 1024**2, max_deaths=1),
}
"""A whole patience with an endless loop takes 20 s."""
TRAINED = [entry.id for entry in AFTER_TRAINING]
QUICK = ("LRA501", "LRA502")
"""Found in the first steps of a training; the others need a trained network."""


def sections(check: str) -> dict[str, str]:
    """Title -> text of the page's sections, in their order."""
    parts = re.split(r"^## (.+)$", page(check), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def examples(check: str, section: str) -> list[tuple[str, str]]:
    """Title and code of the candidates in a section."""
    return [(m["title"], m["code"]) for m in EXAMPLE.finditer(sections(check)[section])]


def candidates(section: str) -> list[str]:
    """The checks whose page has a candidate there that can be judged without training."""
    return [c for c in ENTRIES if any(not title for title, _ in examples(c, section))]


FAILS = candidates("Fails")
MENDS = [check for check in candidates("Mend") if check not in TRAINED]


def code_of(check: str, section: str) -> bytes:
    """The candidate in a section."""
    ((_, code),) = examples(check, section)
    return code.encode()


def asked(check: str) -> tuple[tuple[Check, ...], tuple[Rule, ...]]:
    """This check alone; for a fault of the process, calls that meet it."""
    own = tuple(c for c in CHECKS if c.id == check)
    if check.startswith("LRA4") and not own:
        own = SHAPE
    return own, tuple(rule for rule in RULES if rule.id == check)


def judged_by_it_alone(check: str, section: str, isolation: Isolation) -> ValidationReport:
    """What the page's check says of the candidate in a section of the page."""
    checks, rules = asked(check)
    source, patience = code_of(check, section), SHORT.get(check)
    return validate(source, isolation, seed=7, patience=patience, checks=checks, rules=rules)


def found(report: ValidationReport) -> set[tuple[str, str]]:
    """Id and tier of the findings."""
    return {(finding.check, finding.tier) for finding in report.findings}


def test_every_check_has_a_page_and_every_page_a_check() -> None:
    assert set(page_ids()) == set(ENTRIES)


@pytest.mark.parametrize("check", ENTRIES)
def test_a_page_has_its_sections_in_order(check: str) -> None:
    title, demand, first, *_ = page(check).split("\n\n")
    assert title == f"# {check} {ENTRIES[check].name}"
    assert demand.endswith(".")
    assert first.partition("\n")[0] == "## Demands"
    headings = tuple(sections(check))
    assert headings in (SECTIONS, (*SECTIONS, "False alarm?"))
    assert all(text.strip() for text in sections(check).values())


@pytest.mark.parametrize("check", ENTRIES)
def test_a_page_says_what_the_list_of_checks_says(check: str) -> None:
    said = facts(page(check))
    assert set(said) == {"Tier", "Cost", "Battery"}
    assert said["Tier"] in ("error", "warning", "info")
    assert said["Cost"] == ENTRIES[check].cost
    assert said["Battery"] == battery_of(check)


def battery_of(check: str) -> str:
    """The smallest battery in which the check is asked: text and faults are in every one."""
    if check in TRAINED:
        return "after training"
    return "full" if check in {c.id for c in CHECKS} - {c.id for c in FAST} else "fast"


@pytest.mark.parametrize("check", ENTRIES)
def test_the_examples_are_complete_candidates(check: str) -> None:
    for section in ("Fails", "Mend"):
        found_here = examples(check, section)
        assert len(found_here) <= 1
        for title, code in found_here:
            assert title in ("", NEEDS_TRAINING)
            assert title == "" or check in TRAINED
            assert "(Mechanism):" in code
            if (check, section) != ("LRA101", "Fails"):
                ast.parse(code)


def test_only_checks_after_training_are_without_an_example_that_fails() -> None:
    assert set(ENTRIES) - set(FAILS) == set(TRAINED)


@pytest.mark.parametrize(
    "check", [pytest.param(c, marks=pytest.mark.slow if i % 3 else []) for i, c in enumerate(FAILS)]
)
def test_the_check_rejects_the_example_that_fails(check: str, isolation: Isolation) -> None:
    report = judged_by_it_alone(check, "Fails", isolation)
    assert found(report) == {(check, facts(page(check))["Tier"])}, render_report(report)


@pytest.mark.parametrize(
    "check", [pytest.param(c, marks=pytest.mark.slow if i % 3 else []) for i, c in enumerate(MENDS)]
)
def test_the_check_accepts_the_mended_example(check: str, isolation: Isolation) -> None:
    report = judged_by_it_alone(check, "Mend", isolation)
    assert not report.findings, render_report(report)
    assert not checks_skipped(report)


def checks_skipped(report: ValidationReport) -> bool:
    """Whether no case was run although the check makes calls."""
    return bool(report.isolation) and any(run.num_cases == 0 for run in report.checks)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8, 9])
@pytest.mark.parametrize("check", FAILS)
def test_no_other_check_rejects_the_example(check: str, seed: int, isolation: Isolation) -> None:
    report = validate(code_of(check, "Fails"), isolation, seed=seed, patience=SHORT.get(check))
    assert {f.check for f in report.findings} == {check}, render_report(report)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [7, 8, 9])
@pytest.mark.parametrize("check", candidates("Mend"))
def test_the_mended_example_is_valid(check: str, seed: int, isolation: Isolation) -> None:
    report = validate(code_of(check, "Mend"), isolation, seed=seed)
    assert not report.findings, render_report(report)


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(c, marks=[] if c in QUICK else pytest.mark.slow)
        for c in TRAINED
        if examples(c, "Fails")
    ],
)
def test_the_check_after_training_finds_its_example(
    check: str, isolation: Isolation, tmp_path: Path
) -> None:
    job = training_of(code_of(check, "Fails").decode(), num_steps=2 if check in QUICK else 300)
    try:
        run = score_run(train(job, isolation, tmp_path, lambda _: None), tmp_path, isolation)
        findings = run.findings
    except CandidateRefused as refused:
        findings = refused.findings
    assert check in {finding.check for finding in findings}


def training_of(source: str, num_steps: int) -> Job:
    """A training long enough to learn something of a probe."""
    return Job(
        name="example",
        origin="candidate",
        agent=None,
        source=source,
        task="recall-probe",
        scale="smoke",
        setting="fixed",
        host=HostConfig(
            d_model=14,
            num_heads=2,
            num_layers=2,
            d_mlp=19,
            causal="supports_causal = False" not in source,
            positions="none",
        ),
        train=TrainConfig(
            num_steps=num_steps,
            batch_size=31,
            learning_rate=2e-2,
            weight_decay=0.01,
            evaluate_every=max(1, num_steps // 2),
        ),
        hyperparameters={},
        seed=0,
    )


def test_an_unknown_check_is_told_its_nearest_neighbour() -> None:
    with pytest.raises(UsageError, match=r"unknown check 'LRA02'. Did you mean 'LRA\d02'"):
        page("LRA02")
    with pytest.raises(UsageError, match="unknown check"):
        page("../LRA202")


def test_the_index_is_up_to_date() -> None:
    assert (ROOT / INDEX_FILE).read_text(encoding="utf-8") == index(), (
        f"run `python -m agent_sandbox.validator.pages.index > {INDEX_FILE}`"
    )
