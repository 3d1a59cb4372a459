"""Modules written to cheat: each is caught by a check of the right family, or can do no harm.

The first line of `tests/attacks/*.py` says which: `# LRA202|LRA218: the trick` names the checks any
of which is a fair answer; `# harmless: why` is a trick that the sandbox leaves without effect, and
such a module would show its success in its outputs, so that a valid report proves it had none;
`# beyond: why` is one that no test of behaviour can see, which must change to be forgotten.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from supported import WARNINGS

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.examination import Patience
from agent_sandbox.validator.registry import CHECKS, ENTRIES, FAST, Check
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import validate
from lra_design.records import ValidationReport

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.py"))
SEEDS = (7, 8, 9)
SHORT = {
    "LRA401": Patience(call_seconds=0.7, max_deaths=1),
    "LRA407": Patience(memory_bytes=256 * 1024**2, max_deaths=1),
}
FREE = ("harmless", "beyond")
OPEN = frozenset(
    (
        *("cheap_for_one_example", "cheap_on_shapes", "work_hidden_in_numpy"),
        *(f"leak_on_a_rare_start_by_{how}" for how in ("int", "list", "numpy", "text")),
        *(f"leak_on_a_rare_start_by_{how}" for how in ("relu", "table")),
        *("leak_on_a_rare_start_stretched", "leak_unless_coins_decide"),
        "weights_as_names",
    )
)
"""Attacks that get through today: known gaps, which fail here as soon as they are closed."""
TOGETHER = frozenset({"leak_after_updates"})
"""Caught only after what all checks together do to the weights."""


def answers(path: Path) -> tuple[str, ...]:
    """What the first line of an attack allows: ids of checks, or one of `FREE`."""
    return tuple(path.read_text().partition(":")[0].removeprefix("# ").split("|"))


CAUGHT = [path for path in ATTACKS if answers(path)[0] not in FREE]
LEFT = [path for path in ATTACKS if answers(path)[0] in FREE]


FIRST_OF_EACH = {answers(path)[0]: path for path in reversed(ATTACKS)}
CHOSEN = frozenset(list(FIRST_OF_EACH.values())[::3])
"""One attack for every third answer that comes first: all of them take minutes together."""


def judge(
    path: Path, isolation: Isolation, seed: int, checks: tuple[Check, ...]
) -> ValidationReport:
    patience = next((SHORT[check] for check in answers(path) if check in SHORT), None)
    return validate(path.read_bytes(), isolation, seed=seed, checks=checks, patience=patience)


def family(path: Path) -> tuple[Check, ...]:
    """The checks that may answer this attack; where a fault of the process may, one that calls."""
    if path.stem in TOGETHER:
        return CHECKS
    return tuple(check for check in CHECKS if check.id in answers(path)) or CHECKS[:1]


def assert_caught(path: Path, report: ValidationReport) -> None:
    found = {finding.check for finding in report.findings}
    assert found & set(answers(path)), render_report(report)
    assert not report.valid or found <= WARNINGS, render_report(report)


def marked(path: Path, *, default: bool) -> object:
    """The attack as a parameter: slow unless it is chosen, expected to fail while it is open."""
    marks = [] if default else [pytest.mark.slow]
    if path.stem in OPEN:
        marks.append(pytest.mark.xfail(reason="a known gap", strict=True))
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [marked(p, default=p in CHOSEN) for p in CAUGHT])
def test_an_attack_is_caught_by_its_family(path: Path, isolation: Isolation) -> None:
    assert_caught(path, judge(path, isolation, SEEDS[0], family(path)))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("path", [marked(p, default=False) for p in CAUGHT if p.stem not in OPEN])
def test_an_attack_is_caught_by_the_whole_battery(path: Path, isolation: Isolation) -> None:
    for seed in SEEDS:
        assert_caught(path, judge(path, isolation, seed, CHECKS))


@pytest.mark.parametrize("path", [marked(p, default=p in CHOSEN) for p in LEFT])
def test_what_cannot_succeed_or_be_seen_is_valid(path: Path, isolation: Isolation) -> None:
    report = judge(path, isolation, SEEDS[0], FAST)
    assert not report.findings, render_report(report)


@pytest.mark.parametrize("path", [marked(p, default=False) for p in LEFT])
def test_it_is_valid_by_the_whole_battery_too(path: Path, isolation: Isolation) -> None:
    for seed in SEEDS:
        report = judge(path, isolation, seed, CHECKS)
        assert not report.findings, render_report(report)


def test_every_attack_names_checks_that_exist_and_one_trick() -> None:
    for path in ATTACKS:
        names, _, trick = path.read_text().partition("\n")[0].partition(": ")
        assert trick.endswith("."), path
        assert set(names.removeprefix("# ").split("|")) <= {*ENTRIES, *FREE}, path
    assert len({path.read_bytes() for path in ATTACKS}) == len(ATTACKS)
    assert {path.stem for path in CAUGHT} >= OPEN
    assert len(ATTACKS) >= 100
