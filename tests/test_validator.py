"""Every check catches the module that is broken in its way, and no reference is accused.

`tests/broken/*.py` are candidates, each broken in one way; the first line names the one finding to
expect. `tests/honest/*.py`, of `test_honest.py`, have nothing wrong but an awkward form.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from supported import WARNINGS, modes

from agent_sandbox.isolation import Isolation
from agent_sandbox.isolation.protocol import Message
from agent_sandbox.validator.built import Built, Setup
from agent_sandbox.validator.examination import Patience
from agent_sandbox.validator.registry import CHECKS, FAST, FAULTS, PRINTED, Check
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import Mode, validate
from lra_design.errors import CandidateFault, HarnessError
from lra_design.interface import MechanismConfig
from lra_design.records import ValidationReport, from_json, to_json

HERE = Path(__file__).parent
BROKEN = sorted(HERE.glob("broken/*.py"))
REFERENCES = sorted(HERE.parent.glob("mechanisms/[!_]*.py"))
QUICK = (("softmax", "causal"), ("mean", "bidirectional"))
SHORT = {
    "LRA401": Patience(call_seconds=0.7, max_deaths=1),
    "LRA407": Patience(memory_bytes=256 * 1024**2, max_deaths=1),
}


def expected_check(path: Path) -> str:
    """The first id in the first line of a broken module, `# LRA202: ...`."""
    return expected_checks(path)[0]


def expected_checks(path: Path) -> list[str]:
    """All of them: what lies to one question may contradict itself in another."""
    return re.findall(r"LRA\d+", path.read_text().partition(":")[0])


def one_per_check() -> list[Path]:
    """The first module of each check; the other ways to break the same rule take longer."""
    return list({expected_check(path): path for path in reversed(BROKEN)}.values())


FIRST = sorted(one_per_check())


def assert_only_its_finding(
    path: Path, isolation: Isolation, checks: tuple[Check, ...] = CHECKS
) -> None:
    check = expected_check(path)
    patience = SHORT.get(check)
    report = validate(path.read_bytes(), isolation, seed=7, patience=patience, checks=checks)
    asked = {entry.id for entry in (*checks, *FAULTS.values(), PRINTED)}
    expected = set(expected_checks(path)) & asked
    assert {finding.check for finding in report.findings} == expected, render_report(report)
    assert report.valid == (check in WARNINGS)


@pytest.mark.parametrize("path", FIRST, ids=lambda path: path.stem)
def test_a_broken_module_gets_its_finding_and_no_ordinary_one(
    path: Path, isolation: Isolation
) -> None:
    """The ordinary checks are asked of some; all checks of all of them is slow."""
    own, is_asked = expected_check(path), path in FIRST[::4]
    checks = tuple(check for check in CHECKS if check.id == own or (check.fast and is_asked))
    assert_only_its_finding(path, isolation, checks or CHECKS[:1])


@pytest.mark.slow
@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_module_gets_exactly_its_finding(path: Path, isolation: Isolation) -> None:
    assert_only_its_finding(path, isolation)


def test_every_check_has_a_module_that_it_catches() -> None:
    checks = {entry.id for entry in (*CHECKS, *FAULTS.values(), PRINTED)}
    assert {expected_check(path) for path in BROKEN} == checks


def references() -> list[object]:
    """Every reference in each of its modes; two by default, all of them take minutes.

    That each was certified as it stands is asked in `test_shelf.py`.
    """
    slow = pytest.mark.slow
    return [
        pytest.param(
            path, mode, marks=[] if (path.stem, mode) in QUICK else [slow], id=f"{path.stem}-{mode}"
        )
        for path in REFERENCES
        for mode in modes(path)
    ]


@pytest.mark.parametrize(("path", "mode"), references())
def test_a_reference_mechanism_passes_without_findings(
    path: Path, mode: Mode, isolation: Isolation
) -> None:
    report = validate(path.read_bytes(), isolation, mode=mode, seed=2)
    assert not report.findings, render_report(report)


def test_the_other_mode_is_validated_by_its_own_rules(isolation: Isolation) -> None:
    source = (HERE / "broken" / "mask_ignored.py").read_bytes()
    report = validate(source, isolation, mode="bidirectional", seed=1)
    assert [(f.check, "bidirectional" in f.where) for f in report.findings] == [("LRA204", True)]


def test_a_mode_that_is_not_supported_is_refused_before_anything_runs(isolation: Isolation) -> None:
    source = (HERE / "honest" / "top_choice.py").read_bytes()
    report = validate(source, isolation, mode="bidirectional")
    assert [finding.check for finding in report.findings] == ["LRA110"]
    assert report.isolation is None


def test_hyperparameters_reach_the_mechanism(isolation: Isolation) -> None:
    source = (HERE / "honest" / "depthwise_convolution.py").read_bytes()
    reports = [
        validate(source, isolation, seed=1, hyperparameters={"width": width}, checks=FAST)
        for width in (2, 5)
    ]
    assert [report.hyperparameters for report in reports] == [{"width": 2}, {"width": 5}]
    sizes = [report.num_parameters for report in reports]
    assert None not in sizes
    assert sizes[0] != sizes[1]


def test_the_same_seed_gives_the_same_report(isolation: Isolation) -> None:
    source = (HERE / "broken" / "faint_leak.py").read_bytes()
    first, second = (validate(source, isolation, seed=29, checks=FAST) for _ in range(2))
    assert first.findings == second.findings != ()
    assert first.replay_token == second.replay_token
    assert validate(source, isolation, checks=FAST).replay_token != first.replay_token


def test_a_report_survives_json_and_says_its_verdict_first(isolation: Isolation) -> None:
    report = validate((HERE / "broken" / "circular_fft.py").read_bytes(), isolation, seed=3)
    assert from_json(ValidationReport, to_json(report)) == report
    text = render_report(report)
    assert text.startswith("INVALID  Broken (causal")
    assert "ERROR LRA202 causal (float64" in text
    assert {run.check for run in report.checks} >= {"LRA101", "LRA201", "LRA202", "LRA411"}


def test_an_exception_names_its_line_once(isolation: Isolation) -> None:
    path = HERE / "broken" / "fails_when_short.py"
    line = path.read_text().splitlines().index('            raise ValueError("too short to mix")')
    (finding,) = validate(path.read_bytes(), isolation, seed=3).findings
    assert finding.found == "ValueError: too short to mix"
    assert finding.where.endswith(f"line {line + 1}")


def test_running_out_of_time_is_never_valid(isolation: Isolation) -> None:
    source = REFERENCES[0].read_bytes()
    report = validate(source, isolation, patience=Patience(total_seconds=0.1))
    assert {finding.check for finding in report.findings} == {"LRA401"}
    assert len(report.checks) < len(CHECKS)


def test_a_fault_of_the_harness_is_not_charged_to_the_candidate(isolation: Isolation) -> None:
    class Failing:
        record = isolation.record

        def start(self, program: str, limits: object = None) -> None:
            raise HarnessError("no workers today")

    with pytest.raises(HarnessError, match="no workers today"):
        validate(REFERENCES[0].read_bytes(), Failing())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "claim", [10**400, 2**81, -1, True, "1", None, float("inf")], ids=lambda c: f"{c!s:.8}"
)
def test_a_count_of_no_sensible_size_is_a_fault_of_the_worker(claim: object) -> None:
    answer = Message({"flops": claim, "peak_memory_bytes": 1})
    config = MechanismConfig(d_model=2, num_heads=1, max_seq_len=3, causal=True)
    built = Built(lambda *asked: answer, Setup(config), key="")
    with pytest.raises(CandidateFault, match="expected a number"):
        built.cost(3)
