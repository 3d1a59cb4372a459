"""No honest mechanism is accused: `tests/honest/*.py` have nothing wrong but an awkward form.

The first line of each says what it is; `May warn: LRA213` there lists the warnings it may get.
`benchmarks/false_alarms.py` measures the rate.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from supported import modes

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.registry import CHECKS, FAST, Check
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import Mode, validate

HERE = Path(__file__).parent
HONEST = sorted(HERE.glob("honest/*.py"))
REFERENCES = sorted(HERE.parent.glob("mechanisms/[!_]*.py"))


def allowed(path: Path) -> set[str]:
    """What an honest module may be warned of, from its first line."""
    first_line = path.read_text().partition("\n")[0]
    return set(re.findall(r"LRA\d+", first_line.partition("May warn:")[2]))


def assert_not_accused(
    path: Path,
    isolation: Isolation,
    mode: Mode,
    seed: int,
    checks: tuple[Check, ...] = CHECKS,
) -> None:
    report = validate(path.read_bytes(), isolation, mode=mode, seed=seed, checks=checks)
    unexpected = {finding.check for finding in report.findings} - allowed(path)
    assert report.valid, (seed, render_report(report))
    assert not unexpected, (seed, render_report(report))


def some(paths: list[Path]) -> list[object]:
    """Every twelfth module by default; all of them take two minutes."""
    slow = pytest.mark.slow
    return [pytest.param(p, marks=[slow] if i % 12 else [], id=p.stem) for i, p in enumerate(paths)]


@pytest.mark.parametrize("path", some(HONEST))
def test_an_honest_module_is_valid(path: Path, isolation: Isolation) -> None:
    """The fast battery; the full one is slow."""
    assert_not_accused(path, isolation, modes(path)[0], seed=11, checks=FAST)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", [*HONEST, *REFERENCES], ids=lambda path: path.stem)
def test_no_false_alarm_over_twenty_seeds(path: Path, isolation: Isolation) -> None:
    for seed in range(20):
        for mode in modes(path):
            assert_not_accused(path, isolation, mode, seed)


def test_there_are_forty_of_them_and_none_is_there_twice() -> None:
    assert len(HONEST) >= 40
    first_lines = [path.read_text().partition("\n")[0] for path in HONEST]
    assert all(line.startswith("# ") for line in first_lines)
    assert len(set(first_lines)) == len(first_lines)
