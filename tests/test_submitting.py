"""Submitting and verifying: what is claimed is found again, and what is forged is not."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from run_records import make_dossier
from test_bundles import HASH, SPLIT, a_dossier, a_run, members, put
from tiny_tasks import TINY_JOB

from agent_sandbox.isolation import Isolation
from leaderboards.bundles.agreement import Figure, compare_reports
from leaderboards.bundles.reading import extract_weights, read_bundle
from leaderboards.bundles.writing import write_bundle
from leaderboards.dossiers import DossierFile
from leaderboards.store import Store
from lra_design.cli import cli
from lra_design.cli import run as run_cli
from lra_design.records import Run, to_json
from trainers.referee import score_run
from trainers.training import train

ROOT = Path(__file__).parent.parent
FILE = ".github/workflows/submissions.yml"


def lay(folder: Path, run: Run) -> Path:
    """A folder as a finished training leaves it, without its weights."""
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(to_json(dataclasses.replace(run, test=None)))
    return folder


def open_with(monkeypatch: pytest.MonkeyPatch, command: str, isolation: Isolation | None) -> None:
    """Have a command use an isolation that is open."""
    module = sys.modules[f"lra_design.cli.{command}"]
    monkeypatch.setattr(module, "isolation", lambda *_: contextlib.nullcontext(isolation))


def test_submit_packs_what_was_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tasks.splits.storage.split_hash", lambda *_: SPLIT)
    runs = [a_run(seed) for seed in range(3)]
    folders = [str(lay(tmp_path / f"seed{run.seed}", run)) for run in runs]
    board = tmp_path / "board"
    for run in runs[:2]:
        Store(board).append(run)
    DossierFile(board).append(a_dossier())
    out = ["--board", str(board), "-o", str(tmp_path / "out")]
    assert run_cli(["submit", *folders[1::-1], *out]) == 0
    (path,) = (tmp_path / "out").iterdir()
    assert f"lra-design verify {path}" in capsys.readouterr().out
    assert read_bundle(path).runs == tuple(runs[:2])

    assert run_cli(["submit", *folders, *out]) == 2
    assert f"Score it with `lra-design score {folders[2]}" in capsys.readouterr().err
    again = str(lay(tmp_path / "again", runs[0]))
    assert run_cli(["submit", folders[0], again, *out]) == 2
    assert "are both of seed 0" in capsys.readouterr().err
    assert run_cli(["submit", folders[0], "--weights", *out]) == 3
    assert "best.safetensors: No such file" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == [path]


def test_an_invalid_mechanism_is_not_submitted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    open_with(monkeypatch, "submit", None)  # its text alone is refused
    folder, board = lay(tmp_path / "seed0", a_run(0)), tmp_path / "board"
    Store(board).append(a_run(0))
    DossierFile(board).append(make_dossier("a", source_hash=HASH, battery="fast"))
    out = tmp_path / "a.lra.zip"
    assert run_cli(["submit", str(folder), "--board", str(board), "-o", str(out)]) == 1
    assert "ERROR LRA" in capsys.readouterr().err
    assert not out.exists()


@pytest.fixture
def unwalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is over before anything runs."""
    open_with(monkeypatch, "verify", None)


@pytest.mark.usefixtures("unwalled")
def test_a_refused_bundle_is_the_fault_of_who_made_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited = dataclasses.replace(a_run(0), seed=7, name="\n  ok  everything\x1b[2J")
    put(tmp_path / "a.lra.zip", members(edited))
    (tmp_path / "b.lra.zip").write_bytes(b"")
    assert run_cli(["verify", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("REFUSED  ") for line in lines)
    assert run_cli(["verify", str(tmp_path), "--json"]) == 1
    results = json.loads(capsys.readouterr().out)
    assert [result["agrees"] for result in results] == [False, False]
    assert "an id that is not" in results[0]["refusal"]


@pytest.mark.usefixtures("unwalled")
def test_scores_that_nobody_could_check_are_refused_where_that_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "a.lra.zip", members())
    assert run_cli(["verify", str(tmp_path), "--weights"]) == 1
    assert "no weights of seed 0, 1" in capsys.readouterr().out


@pytest.mark.usefixtures("unwalled")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["docs"], "no bundle *.lra.zip in docs"),
        (["a.lra.zip", "--seed", "1"], "add --retrain"),
        (["{file}", "--retrain", "--seed", "9"], "has no seed 9. It has: 0, 1"),
        ([], "FILE..."),
    ],
)
def test_verify_wants_bundles(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(ROOT)
    file = str(put(tmp_path / "a.lra.zip", members()))
    assert run_cli(["verify", *(each.format(file=file) for each in arguments)]) == 2
    assert says in capsys.readouterr().err


def test_a_certificate_is_compared_with_a_fresh_report() -> None:
    claimed = a_dossier().certificate
    assert all(figure.agrees for figure in compare_reports(claimed, claimed))
    other = dataclasses.replace(claimed, mechanism="B", num_parameters=8)
    disagreeing = [f.name for f in compare_reports(claimed, other) if not f.agrees]
    assert disagreeing == ["mechanism"]  # a size depends on what the validator drew


# One training of a moment, handed in and verified for good.


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, isolation: Isolation
) -> tuple[Path, dict[int, Path]]:
    """A board and the folders of three seeds on it."""
    top = tmp_path_factory.mktemp("trained")
    folders = {}
    for seed in (3, 4, 5):
        folder = folders[seed] = top / str(seed)
        job = dataclasses.replace(TINY_JOB, seed=seed, origin="candidate")
        run = train(job, isolation, folder, lambda _: None)
        Store(top / "board").append(score_run(run, folder, isolation))
    return top / "board", folders


@pytest.fixture
def walled(monkeypatch: pytest.MonkeyPatch, isolation: Isolation) -> None:
    for command in ("submit", "verify"):
        open_with(monkeypatch, command, isolation)


def figures(capsys: pytest.CaptureFixture[str]) -> dict[str, Figure]:
    (result,) = json.loads(capsys.readouterr().out)
    assert result["refusal"] is None
    return {figure["name"]: Figure(**figure) for figure in result["figures"]}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("walled")
def test_what_is_honest_agrees_and_what_is_forged_does_not(
    tmp_path: Path,
    trained: tuple[Path, dict[int, Path]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    board, folders = trained
    file = tmp_path / "a.lra.zip"
    arguments = ["--board", str(board), "--weights", "-o", str(file)]
    assert run_cli(["submit", *map(str, folders.values()), *arguments]) == 0
    capsys.readouterr()
    assert run_cli(["verify", str(file), "--retrain", "--json"]) == 0
    found = figures(capsys)
    assert {name for name, figure in found.items() if figure.agrees is None} == {
        "agent and attempts",
        "curves, ledger of the study, shuffled twin",
        "isolation of the submitter",
        "seconds and memory",
    }
    assert found["seed 3, test accuracy"].tolerance == 0.005
    assert any("trained again" in name for name in found)

    bundle = read_bundle(file)
    weights = {}
    for run in bundle.runs:
        weights[run.seed] = tmp_path / f"{run.seed}.safetensors"
        extract_weights(bundle, run.seed, weights[run.seed])
    forged = tmp_path / "forged.lra.zip"
    runs = [raised(run) if run.seed == 4 else run for run in bundle.runs]
    write_bundle(runs, bundle.dossier, bundle.manifest.train_split, forged, weights)
    assert run_cli(["verify", str(forged), "--json"]) == 1
    wrong = [name for name, figure in figures(capsys).items() if figure.agrees is False]
    assert wrong == ["seed 4, test accuracy"]

    swapped = {**weights, 4: weights[5]}
    write_bundle(bundle.runs, bundle.dossier, bundle.manifest.train_split, forged, swapped)
    run_cli(["verify", str(forged)])
    assert re.search(r"NO +seed 4, (validation|test) accuracy", capsys.readouterr().out)

    bare = tmp_path / "bare.lra.zip"
    write_bundle(bundle.runs, bundle.dossier, bundle.manifest.train_split, bare)
    assert run_cli(["verify", str(bare)]) == 0
    printed = capsys.readouterr().out
    assert "not checked: no weights" in printed
    assert "10 were not checked" in printed


def raised(run: Run) -> Run:
    """With a test score that is 20 points better."""
    assert run.test is not None
    hits = round(run.test.accuracy * run.test.num_labels) + run.test.num_labels // 5
    return dataclasses.replace(
        run, test=dataclasses.replace(run.test, accuracy=hits / run.test.num_labels)
    )


# CI.


@pytest.fixture(scope="module")
def workflow() -> Any:
    return yaml.safe_load((ROOT / FILE).read_text())


def test_the_workflow_may_do_nothing_but_read(workflow: Any) -> None:
    events = workflow[True]  # YAML 1.1 reads `on` so
    assert set(events) == {"pull_request"}
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert "permissions" not in job
    assert "secrets" not in (ROOT / FILE).read_text()
    for step in job["steps"]:
        assert ("uses" in step) != ("run" in step)
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
    (checkout,) = (step for step in job["steps"] if "checkout" in step.get("uses", ""))
    assert checkout["with"]["persist-credentials"] is False


def scripts(workflow: Any) -> Iterator[str]:
    (job,) = workflow["jobs"].values()
    yield from (step["run"] for step in job["steps"] if "run" in step)


def test_the_scripts_of_the_workflow_call_commands_that_exist(workflow: Any) -> None:
    called = []
    for script in scripts(workflow):
        assert "${{" not in script, "what stands in it would be read as a command"
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        for call in re.findall(r"bin/lra-design\" (.*)", script):
            words = shlex.split(call)
            assert words[0] != "verify" or "--weights" in words, "else any score would pass"
            command = cli.commands[words[0]]
            if isinstance(command, click.Group):
                command = command.commands[words[1]]
            options = {
                flag for p in command.params if isinstance(p, click.Option) for flag in p.opts
            }
            assert {word for word in words if re.match("--.", word)} <= options
            called.append(words[0])
    assert called == ["verify", "board"]


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"submissions/a-1.lra.zip": "x"}, True),
        ({"submissions/a.lra.zip": "x", "README.md": "x"}, False),
        ({"submissions/a.lra.zip": "x", "submissions/b.lra.zip": "x"}, False),
        ({"submissions/old.lra.zip": "changed"}, False),
        ({"submissions/$(touch owned).lra.zip": "x"}, False),
        ({"submissions/deep/a.lra.zip": "x"}, False),
        ({"submissions/a.lra.zip\nx": "x"}, False),
    ],
    ids=range(7),
)
def test_only_one_added_bundle_is_a_submission(
    workflow: Any, tmp_path: Path, changes: dict[str, str], passes: bool
) -> None:
    """Run the workflow's script on a merge as GitHub makes it."""
    repository = tmp_path / "pull-request"
    (repository / "submissions").mkdir(parents=True)
    (repository / "submissions/old.lra.zip").write_text("old")
    git(repository, "init")
    git(repository, "add", ".")
    git(repository, "commit", "-m", "base")
    git(repository, "checkout", "-b", "submission")
    for name, content in changes.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(content)
    git(repository, "add", ".")
    git(repository, "commit", "-m", "submission")
    git(repository, "checkout", "main")
    git(repository, "merge", "--no-ff", "submission")
    output = tmp_path / "output"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", next(scripts(workflow))],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "GITHUB_OUTPUT": str(output)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == passes, done.stdout + done.stderr
    assert not list(tmp_path.rglob("owned"))
    if passes:
        assert output.read_text() == "bundle=pull-request/submissions/a-1.lra.zip\n"
        assert (tmp_path / "judge/submissions/old.lra.zip").exists()
        assert not (tmp_path / "judge/submissions/a-1.lra.zip").exists()
    else:
        assert "::error::expected a pull request that adds one file" in done.stdout
