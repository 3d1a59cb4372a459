"""`pytest --lra-mechanism`: a test for each check, the candidate never in pytest's own process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.outcomes import asked_by_validation
from lra_design.errors import IsolationUnavailable

HERE = Path(__file__).parent
MEAN = HERE.parent / "mechanisms" / "mean.py"
LEAK = HERE / "broken" / "faint_leak.py"
WARNED = HERE / "broken" / "prints_a_verdict.py"
NUM_CHECKS = len(asked_by_validation())
INI = "[pytest]\naddopts = -p no:cacheprovider\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pytest.ini").write_text(INI)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pytest_here(
    folder: Path,
    isolation: Isolation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Runs pytest in this process, where torch is loaded, with the isolation of all tests."""

    class Opened:
        record = isolation.record
        start = isolation.start

        def close(self) -> None:
            pass

    monkeypatch.setattr("agent_sandbox.isolation.open_isolation", Opened)

    def run_here(*arguments: str) -> tuple[int, str]:
        code = pytest.main([*arguments, "-p", "no:xdist", "-p", "no:hypothesispytest"])
        return code, capsys.readouterr().out

    return run_here


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run in a process of its own, as a user starts it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow  # CI runs it, from the README
def test_one_test_for_each_check(folder: Path, pytest_here: Callable[..., tuple[int, str]]) -> None:
    """An invalid file that pytest finds by itself, too, and one that is warned."""
    package = folder / "candidates"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('nobody may import this')\n")
    (package / "conftest.py").write_text("raise RuntimeError('nor this')\n")
    (package / "test_leak.py").write_bytes(LEAK.read_bytes())
    (package / "warned.py").write_bytes(WARNED.read_bytes())
    own = folder / "own"
    own.mkdir()
    (own / "test_leak_2.py").write_bytes(LEAK.read_bytes())
    files = ("candidates/test_leak.py", "candidates/warned.py", "own/test_leak_2.py")
    options = [word for file in files for word in ("--lra-mechanism", file)]
    code, out = pytest_here(*options, "-v", "-rs", "--doctest-modules", "own")
    assert code == pytest.ExitCode.TESTS_FAILED
    results = dict(re.findall(r"^(\S+::\S+) (PASSED|FAILED|SKIPPED|ERROR)", out, re.MULTILINE))
    assert len(results) == 3 * NUM_CHECKS
    assert {name for name, result in results.items() if result == "FAILED"} == {
        "candidates/test_leak.py::LRA202-causal",
        "own/test_leak_2.py::LRA202-causal",
    }
    assert results["own/test_leak_2.py::LRA203-length"] == "SKIPPED"
    assert "left out: its verdict would repeat LRA202" in out
    assert "\nERROR LRA202 causal (float64" in out
    assert "Traceback" not in out
    assert "candidate" not in sys.modules
    summary = out.partition("= lra-design =")[2]
    assert summary.count("candidates/test_leak.py: INVALID  Broken") == 1
    assert summary.count("candidates/warned.py: VALID  Broken") == 1
    assert summary.count("WARNING LRA410 printed") == 1


@pytest.mark.slow
def test_one_test_can_be_asked_for_alone(
    folder: Path, pytest_here: Callable[..., tuple[int, str]]
) -> None:
    (folder / "mine.py").write_bytes(MEAN.read_bytes())
    options = ["--lra-mechanism", "mine.py", "--lra-fast", "--lra-mode", "bidirectional"]
    code, out = pytest_here(*options, "mine.py::LRA204-padding_content")
    assert (code, "1 passed" in out) == (0, True), out
    assert "Mean (bidirectional" in out
    assert "no certificate: the fast battery leaves checks out" in out
    code, out = pytest_here(*options, "-k", "LRA202 or LRA212")
    assert (code, "1 passed, 1 skipped" in out) == (0, True), out


def test_a_fault_of_the_harness_is_an_error_not_a_failure(
    folder: Path,
    pytest_here: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = []

    def refuse() -> None:
        opened.append(1)
        raise IsolationUnavailable("landlock", "an old kernel", "Take a new one.")

    monkeypatch.setattr("agent_sandbox.isolation.open_isolation", refuse)
    (folder / "mine.py").write_bytes(MEAN.read_bytes())
    code, out = pytest_here("--lra-mechanism", "mine.py", "-k", "LRA202 or LRA203")
    assert code == pytest.ExitCode.TESTS_FAILED
    assert "2 errors" in out
    assert "failed" not in out
    assert "layer 'landlock' is not available: an old kernel. Take a new one." in out
    assert "Traceback" not in out
    assert len(opened) == 1


@pytest.mark.slow
def test_workers_of_xdist_share_one_validation(folder: Path) -> None:
    (folder / "mine.py").write_bytes(MEAN.read_bytes())
    done = run_pytest(folder, "--lra-mechanism", "mine.py", "--lra-fast", "-n", "2", "-v")
    assert done.returncode == 0, done.stdout
    assert {"[gw0]", "[gw1]"} <= set(done.stdout.split())
    assert len(set(re.findall(r"replay token (\w+)", done.stdout))) == 1


def test_without_the_option_nothing_heavy_is_loaded(folder: Path) -> None:
    (folder / "test_own.py").write_text(
        "import sys\n"
        "def test_own():\n"
        "    assert 'agent_sandbox.pytest_plugin' in sys.modules\n"
        "    heavy = {'torch', 'numpy', 'pydantic', 'rich', 'scipy', 'click'}\n"
        "    assert not heavy & set(sys.modules)\n"
        "    ours = {n for n in sys.modules if n.startswith(('lra_design', 'agent_sandbox'))}\n"
        "    assert ours == {'agent_sandbox', 'agent_sandbox.pytest_plugin'}\n"
    )
    done = run_pytest(folder, "-W", "error", "-p", "no:hypothesispytest")
    assert done.returncode == 0, done.stdout
    assert "= lra-design =" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lra-mechanism", "missing.py"], "--lra-mechanism: expected a file, found none at"),
        (["--lra-mechanism", ".", "--lra-mode", "sideways"], "invalid choice: 'sideways'"),
    ],
    ids=["missing", "mode"],
)
def test_wrong_usage_is_said(folder: Path, arguments: list[str], message: str) -> None:
    done = run_pytest(folder, *arguments)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert message in done.stderr
    assert "Traceback" not in done.stderr
