"""The command line as a stranger uses it: exit codes, errors in one line, a run from end to end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from agent_sandbox.agents.journal import Journal
from agent_sandbox.isolation import Isolation
from leaderboards.store import Store
from lra_design.cli import cli, ladder, run
from lra_design.cli.options import make_job
from lra_design.records import Run, ValidationReport, from_json
from tasks.registry import get_task
from tasks.splits.storage import load_split
from tasks.task import SPLIT_NAMES
from trainers import recipes
from trainers.recipes import RECIPES

ROOT = Path(__file__).parent.parent
MEAN = str(ROOT / "mechanisms" / "mean.py")
SOFTMAX = str(ROOT / "mechanisms" / "softmax.py")


@pytest.fixture(autouse=True)
def _small_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ladder with trainings of a few steps."""
    for key, recipe in RECIPES.items():
        host = dataclasses.replace(recipe.host, d_model=14, d_mlp=19)
        train = dataclasses.replace(recipe.train, num_steps=4, batch_size=31, evaluate_every=3)
        monkeypatch.setitem(RECIPES, key, recipes.Recipe(host, train))


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, resource; from lra_design.cli import run; run(['--help']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr);"
        "heavy = {'torch', 'numpy', 'optuna', 'scipy', 'rich', 'pydantic', 'jinja2'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "validate" in done.stdout


FLAGS = {
    "attribute": [
        "--device",
        "--isolation",
        "--json",
        "--mode",
        "--out",
        "--scale",
        "--seeds",
        "--task",
        "--tuned-rates",
        "--unsafe-no-sandbox",
        "--workers",
    ],
    "board": [],
    "board export": ["--figure", "--output", "--table", "-o"],
    "board merge": ["--output", "-o"],
    "board rebuild": [],
    "board show": ["--json", "--site"],
    "design": [
        "--agent",
        "--agent-env",
        "--agent-network",
        "--agent-network-unwalled",
        "--agent-seed",
        "--attempts",
        "--device",
        "--isolation",
        "--json",
        "--llm",
        "--max-device-seconds",
        "--max-dollars",
        "--max-hours",
        "--max-tokens",
        "--mode",
        "--new",
        "--no-attribution",
        "--operators",
        "--out",
        "--policy",
        "--preset",
        "--probes",
        "--references",
        "--scale",
        "--seeds",
        "--setting",
        "--task",
        "--trainings",
        "--trials",
        "--unsafe-no-sandbox",
        "--whole-files",
        "--workers",
    ],
    "compare": ["--board", "--json", "--split", "--task"],
    "doctor": ["--json"],
    "explain": ["--json"],
    "journal": [],
    "journal diff": [],
    "journal export": ["--output", "-o"],
    "journal pairs": ["--output", "-o"],
    "journal show": ["--json"],
    "journal tree": [],
    "mcp": ["--isolation", "--mode", "--unsafe-no-sandbox", "--workspace"],
    "mechanisms": ["--board", "--json"],
    "nearest": ["--isolation", "--json", "--mode", "--unsafe-no-sandbox"],
    "new": ["--bidirectional", "--out"],
    "data": [],  # a group: its own commands have flags
    "data list": ["--json"],
    "data prepare": ["--json", "--source", "--unverified", "--workers"],
    "data show": ["--json", "-n"],
    "data verify": ["--json"],
    "noise": ["--json", "--mode"],
    "proxy": ["--json", "--mode"],
    "recipe": ["--json", "--variant"],
    "reproduce": [
        "--device",
        "--executor",
        "--export",
        "--isolation",
        "--json",
        "--list",
        "--mechanisms",
        "--out",
        "--records",
        "--resume",
        "--scale",
        "--seeds",
        "--unsafe-no-sandbox",
        "--workers",
    ],
    "sandbox": [],
    "sandbox exec": [
        "--disk",
        "--level",
        "--memory",
        "--output",
        "--processes",
        "--profile",
        "--scratch",
        "--wall",
    ],
    "sandbox selftest": ["--json"],
    "score": ["--board", "--device", "--isolation", "--json", "--twin", "--unsafe-no-sandbox"],
    "screen": [
        "--isolation",
        "--json",
        "--mode",
        "--out",
        "--scale",
        "--seed",
        "--task",
        "--unsafe-no-sandbox",
        "--workers",
    ],
    "serve": ["--host", "--port"],
    "tournament": [
        "--device",
        "--executor",
        "--isolation",
        "--json",
        "--list",
        "--out",
        "--seeds",
        "--settings",
        "--tasks",
        "--test-seeds",
        "--trials",
        "--unsafe-no-sandbox",
        "--workers",
    ],
    "train": [
        "--device",
        "--isolation",
        "--json",
        "--mode",
        "--out",
        "--scale",
        "--seed",
        "--set",
        "--task",
        "--unsafe-no-sandbox",
        "--variant",
    ],
    "submit": [
        "--board",
        "--isolation",
        "--output",
        "--unsafe-no-sandbox",
        "--weights",
        "-o",
    ],
    "tune": [
        "--device",
        "--executor",
        "--isolation",
        "--json",
        "--mode",
        "--out",
        "--scale",
        "--seconds",
        "--seed",
        "--seeds",
        "--storage",
        "--task",
        "--trials",
        "--unsafe-no-sandbox",
        "--variant",
        "--workers",
    ],
    "verify": [
        "--device",
        "--isolation",
        "--json",
        "--retrain",
        "--seed",
        "--unsafe-no-sandbox",
        "--weights",
    ],
    "validate": [
        "--fast",
        "--format",
        "--isolation",
        "--json",
        "--mode",
        "--output",
        "--replay",
        "--set",
        "--unsafe-no-sandbox",
        "--workers",
    ],
}


def test_the_commands_and_their_flags() -> None:
    commands: dict[str, click.Command] = dict(cli.commands)
    for name, group in cli.commands.items():
        if isinstance(group, click.Group):
            commands |= {f"{name} {inner}": command for inner, command in group.commands.items()}
    found = {
        name: sorted(flag for p in command.params if isinstance(p, click.Option) for flag in p.opts)
        for name, command in commands.items()
    }
    assert found == FLAGS


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["validate", "missing.py"], 2, "cannot read missing.py"),
        (["validat", SOFTMAX], 2, "No such command 'validat'"),
        (["validate", SOFTMAX, "--jsn"], 2, "--json"),
        (["validate", SOFTMAX, "--replay", "not hex"], 2, "hexadecimal"),
        (["validate"], 2, "PATH..."),
        (["validate", str(ROOT / "docs")], 2, "no mechanism in"),
        (["validate", SOFTMAX, str(ROOT / "docs")], 2, "no mechanism in"),
        (["validate", SOFTMAX, "--format", "xml"], 2, "'sarif'"),
        (["validate", SOFTMAX, "--json", "--format", "github"], 2, "only one format"),
        (["validate", SOFTMAX, "--output", "a", "--output", "b"], 2, "a --format for each"),
        (["train", SOFTMAX, "--task", "listops-minni"], 2, "Did you mean 'listops-mini'"),
        (["train", SOFTMAX, "--task", "text-1k-v1", "--scale", "full"], 2, "It has: small"),
        (["train", SOFTMAX, "--task", "listops-mini", "--variant", "s5"], 2, "It has: mini"),
        (["train", SOFTMAX], 2, "--task"),
        (["tune", SOFTMAX, "--task", "recall-probe", "--executor", "lokal"], 2, "'lokal'. Did you"),
        (["train", SOFTMAX, "--task", "listops-mini", "--device", "gpu"], 2, "cpu, cuda or cuda:N"),
        (["design", "--task", "listopsmini"], 2, "Did you mean 'listops-mini'"),
        (["design", "--attempts", "0"], 2, "--attempts"),
        (["score", "no/such/folder"], 3, "no finished training"),
        (["board", "show", "no/such/folder"], 2, "no leaderboard in"),
        (["design", "--out", "/proc/nowhere"], 3, "cannot use the folder"),
    ],
    ids=lambda value: "-".join(value)[-40:] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_with_a_remedy(
    capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, message: str
) -> None:
    assert run(arguments) == exit_code
    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


def test_validate_says_valid_or_why_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", MEAN, "--json", "--replay", "2a", "--fast"]) == 0
    report = from_json(ValidationReport, capsys.readouterr().out)
    assert (report.valid, report.mechanism, report.replay_token) == (True, "Mean", "2a")

    wrong = tmp_path / "wrong.py"
    wrong.write_text(Path(MEAN).read_text().replace("import torch\n", "import os, torch\n"))
    assert run(["validate", str(wrong)]) == 1
    printed = capsys.readouterr().out
    assert printed.startswith("INVALID")
    assert "LRA102" in printed


@pytest.mark.slow
def test_validate_a_folder(
    tmp_path: Path,
    isolation: Isolation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two copies are judged once, what begins with an underscore is none, two reports at once."""
    opened = contextlib.nullcontext(isolation)
    monkeypatch.setattr("lra_design.cli.batch.isolation", lambda unsafe: opened)
    source = Path(SOFTMAX).read_text()
    for name in ("good.py", "same.py", "_not.py"):
        (tmp_path / name).write_text(source)
    (tmp_path / "bad.py").write_text(source.replace("import torch.nn", "import os, torch.nn"))
    (tmp_path / "folder.py").mkdir()
    kept = tmp_path / "kept" / "report.json"
    arguments = ["validate", str(tmp_path), "--fast", "--format", "json", "--output", str(kept)]
    assert run(arguments) == 1
    printed = capsys.readouterr()
    assert "validating 2 files" in printed.err
    assert printed.out.startswith(f"INVALID  {tmp_path / 'bad.py'}\nERROR LRA102 imports (line ")
    assert printed.out.endswith("2 of 3 valid, 0 certified: only the full battery certifies\n")
    listed = {Path(entry["file"]).name: entry["report"] for entry in json.loads(kept.read_text())}
    assert list(listed) == ["bad.py", "good.py", "same.py"]
    assert listed["good.py"] == listed["same.py"]
    assert listed["good.py"]["battery"] == "fast"

    (tmp_path / "bad.py").unlink()
    assert run(["validate", str(tmp_path), str(tmp_path / "good.py"), "--fast"]) == 0
    assert capsys.readouterr().out.count("good.py") == 1


def test_hyperparameters_are_set_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(ROOT / "mechanisms" / "local_window.py")
    job = make_job(Path(file), "delay-probe", "smoke", "causal", 0, hyperparameters={"window": 5})
    assert job.hyperparameters == {"window": 5}

    for command in (["validate", file], ["train", file, "--task", "delay-probe"]):
        assert run([*command, "--set", "windw=5"]) == 2
        assert "did you mean 'window'?" in capsys.readouterr().err
        assert run([*command, "--set", "window"]) == 2
        assert "expected NAME=VALUE" in capsys.readouterr().err


def test_validate_has_every_file_before_any_is_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "report.xml"
    arguments = ["validate", SOFTMAX, str(tmp_path / "gone.py"), "--format", "junit"]
    assert run([*arguments, "--output", str(kept)]) == 2
    assert "cannot read" in capsys.readouterr().err
    assert not kept.exists()


@pytest.mark.slow
def test_ctrl_c_ends_a_folder_at_once(tmp_path: Path) -> None:
    """Interrupted while every worker hangs in a candidate that never answers."""
    endless = (ROOT / "tests" / "broken" / "endless_forward.py").read_text()
    for index in range(6):
        (tmp_path / f"endless_{index}.py").write_text(f"{endless}\n# {index}\n")
    script = (
        f"import sys; from lra_design.cli import run;sys.exit(run(['validate', {str(tmp_path)!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "validating 6 files" in line:
                break
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert time.monotonic() - started < 15
    assert rest.strip() == "interrupted"


@pytest.mark.slow  # CI runs the same commands, from the README
def test_train_score_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", SOFTMAX, "--task", "listops-mini", "--out", str(tmp_path / "trained")]
    assert run([*arguments, "--json"]) == 0
    trained = from_json(Run, capsys.readouterr().out)
    folder = tmp_path / "trained" / trained.run_id[:16]

    board = tmp_path / "board"
    for _ in range(2):  # the second time, what was scored is read
        assert run(["score", str(folder), "--board", str(board)]) == 0
    assert "scored earlier" in capsys.readouterr().out
    (scored,) = Store(board).runs()
    assert scored.test is not None
    assert scored == dataclasses.replace(trained, test=scored.test)
    assert run(["score", str(folder), "--board", str(board), "--twin"]) == 2
    assert "scored without a twin" in capsys.readouterr().err

    site = tmp_path / "site"
    assert run(["board", "show", str(board), "--json", "--site", str(site)]) == 0
    (shown,) = json.loads(capsys.readouterr().out)["boards"]
    assert shown["entries"][0]["name"] == "softmax"
    assert "<html" in (site / "index.html").read_text()


@pytest.mark.slow
def test_a_twin_is_scored_beside_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", SOFTMAX, "--task", "recall-probe", "--out", str(tmp_path / "trained")]
    assert run([*arguments, "--json"]) == 0
    folder = tmp_path / "trained" / from_json(Run, capsys.readouterr().out).run_id[:16]
    assert run(["score", str(folder), "--board", str(tmp_path / "board"), "--twin", "--json"]) == 0
    scored = from_json(Run, capsys.readouterr().out)
    assert scored.test is not None
    assert scored.twin is not None
    assert scored.twin.split == "test"
    assert scored.twin.accuracy < 0.1  # one in sixteen
    assert scored.findings == ()


REFERENCES = ("softmax", "mean")
DELAYED = """from lra_design import Mechanism
from torch import nn


class Delayed(Mechanism):
    def __init__(self, config):
        super().__init__(config)
        self.now = nn.Linear(config.d_model, config.d_model)

    def forward(self, x, key_padding_mask=None):
        return self.now(x)
"""


def design(folder: Path, *more: str) -> int:
    out = ["--out", str(folder), "--workers", "2"]
    return run(["design", "--attempts", "2", "--seeds", "1", *out, *more])


@pytest.mark.slow  # CI runs the demo, which is a longer one
def test_a_design_run_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "FEW", REFERENCES)
    folder = tmp_path / "run"
    assert design(folder) == 0
    printed = capsys.readouterr()
    for shown in ("attempt 1", "recall-probe", "sealed test", "candidates are valid"):
        assert shown in printed.err
    assert "softmax" in printed.out
    assert f"page: {folder / 'site/index.html'}" in printed.out

    attempts = Journal(folder / "journal.sqlite").attempts()
    runs = Store(folder / "board").runs()
    assert len(attempts) == 2
    assert {run.name for run in runs if run.origin == "reference"} == set(REFERENCES)
    (winner,) = {run.source for run in runs if run.origin == "candidate"}
    assert winner in {attempt.proposal.source for attempt in attempts}
    assert len(runs) == 1 + len(REFERENCES)
    assert all(run.test and run.isolation.level == "standard" for run in runs)

    # what an agent is told holds nothing of a test split
    assert {s.split for a in attempts for s in a.feedback.scores} == {"validation"}
    test_hashes = {run.test.split_hash for run in runs if run.test}
    journal = (folder / "journal.sqlite").read_bytes()
    assert not any(test_hash.encode() in journal for test_hash in test_hashes)

    # the same again: everything is read, nothing repeated
    assert design(folder, "--json") == 0
    assert "resumed: 2 attempts" in capsys.readouterr().err
    assert Store(folder / "board").runs() == runs
    assert Journal(folder / "journal.sqlite").attempts() == attempts

    # other settings: refused, or another run beside it
    assert design(folder, "--agent-seed", "7") == 2
    assert "agent_seed 0 there, 7 asked" in capsys.readouterr().err


@pytest.mark.slow
def test_an_llm_designs_and_is_told_nothing_of_a_test_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "FEW", ("mean",))
    draft = f"--- answer ---\n## Change\na draft\n## File\n```python\n{DELAYED}```\n"
    edit = "<<<<<<< SEARCH\n        return self.now(x)\n=======\n        return -self.now(x)\n"
    improve = f"--- answer ---\n## Change\na sign\n## Edits\n{edit}>>>>>>> REPLACE\n"
    script = tmp_path / "answers.txt"
    script.write_text(draft + improve)
    folder = tmp_path / "run"
    asked = ["--llm", f"scripted:{script}", "--policy", "greedy:num_drafts=1", "--workers", "1"]
    assert design(folder, *asked) == 0
    printed = capsys.readouterr()
    assert "2 attempts, 2 judged" in printed.err
    attempts = Journal(folder / "journal.sqlite").attempts()
    assert [attempt.proposal.operator for attempt in attempts] == ["draft", "improve"]
    assert attempts[1].proposal.parts == ("Delayed.forward changed",)
    tests = [run.test for run in Store(folder / "board").runs() if run.test]
    assert tests
    journal = (folder / "journal.sqlite").read_bytes()
    assert not any(test.split_hash.encode() in journal for test in tests)
    assert run(["journal", "show", str(folder), "1"]) == 0
    assert "# Improve the parent" in capsys.readouterr().out
    assert design(folder, *asked) == 0  # all of it is read: the script is used up
    assert Journal(folder / "journal.sqlite").attempts() == attempts


@pytest.mark.slow
def test_a_program_designs_behind_the_walls(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "FEW", ("mean",))
    folder = tmp_path / "run"
    program = ROOT / "examples" / "agents" / "delays.py"
    command = ["--agent", f"python {program}", "--attempts", "9"]
    assert run(["design", "--seeds", "1", "--out", str(folder), *command]) == 0
    assert "6 attempts, 5 judged" in capsys.readouterr().err  # the submission is known already
    attempts = Journal(folder / "journal.sqlite").attempts()
    assert [attempt.proposal.operator for attempt in attempts] == [*["evaluate"] * 5, "submit"]
    (winner,) = {run.source for run in Store(folder / "board").runs() if run.agent}
    assert winner == attempts[-1].proposal.source


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--policy", "gredy"], "Did you mean 'greedy'?"),
        (["--policy", "greedy:drafts=3"], "num_drafts"),
        (["--policy", "greedy", "--operators", "draft,imprve"], "Did you mean 'improve'?"),
        (["--operators", "draft"], "is an agent of its own"),
        (["--whole-files"], "name one with --llm"),
        (["--policy", "learned", "--llm", "scripted:x"], "brings its own writer"),
        (["--agent", "true", "--llm", "scripted:x"], "does all by itself"),
        (["--agent-network", "api.example.org"], "name its command with --agent"),
        (["--agent-env", "KEY"], "name its command with --agent"),
        (["--agent", "true", "--agent-network", "https://a.org"], "no scheme"),
        (["--agent", "true", "--agent-network-unwalled"], "with hosts beside it"),
        (["--agent", "true", "--agent-env", "NOT_SET_ANYWHERE"], "found it not set"),
        (["--agent", "true", "--policy", "greedy"], "does all by itself"),
        (["--agent", "python 'agent.py"], "No closing quotation"),
        (
            ["--agent", "python 'agent.py", "--agent-network", "a.org", "--agent-network-unwalled"],
            "No closing quotation",
        ),
        (["--agent", "ls /"], "names /, which holds the run itself and its sealed results"),
    ],
)
def test_an_agent_that_cannot_be_is_refused_at_once(
    tmp_path: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["design", "--out", str(tmp_path / "run"), *arguments]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_ctrl_c_loses_nothing_that_finished(tmp_path: Path) -> None:
    """Interrupt a run as a user does, once the first attempts are in the journal."""
    folder = tmp_path / "run"
    script = (
        "import dataclasses, sys; from trainers import recipes\n"
        "for key, r in recipes.RECIPES.items():\n"
        "    train = dataclasses.replace(r.train, num_steps=8, batch_size=5, evaluate_every=3)\n"
        "    recipes.RECIPES[key] = recipes.Recipe(r.host, train)\n"
        "from lra_design.cli import run\n"
        f"sys.exit(run(['design', '--attempts', '40', '--out', {str(folder)!r}]))\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line == "attempt 0\n":  # finished, not only proposed
                break
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "the same command goes on" in rest
    assert "Traceback" not in rest
    attempts = Journal(folder / "journal.sqlite").attempts()
    assert 1 <= len(attempts) < 40


def test_a_full_disk_is_said_and_leaves_nothing_half_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for split in SPLIT_NAMES:
        load_split(get_task("recall-probe"), split)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        code = run(["train", MEAN, "--task", "recall-probe", "--out", str(tmp_path / "out")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 3
    assert "cannot write" in capsys.readouterr().err
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert all(path.parent.name == "tensorboard" for path in left)  # a log that only grows
