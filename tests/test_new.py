"""`lra-design new` and `lra-design explain`: what a participant meets first."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Literal

import pytest

from agent_sandbox.isolation import Isolation
from agent_sandbox.validator.pages import page
from agent_sandbox.validator.registry import ENTRIES
from agent_sandbox.validator.render import render_report
from agent_sandbox.validator.validate import validate
from lra_design.cli import run


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        pytest.param("causal", (), id="causal"),
        pytest.param(
            "bidirectional", ("--bidirectional",), marks=pytest.mark.slow, id="bidirectional"
        ),
    ],
)
def test_what_is_written_is_certified(
    mode: Literal["causal", "bidirectional"],
    options: tuple[str, ...],
    tmp_path: Path,
    isolation: Isolation,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "not there yet"
    assert run(["new", "gated_mean", "--out", str(folder), *options]) == 0
    file = folder / "gated_mean.py"
    next_command = f"next: lra-design validate {file}"
    assert next_command in capsys.readouterr().out
    report = validate(file.read_bytes(), isolation, mode=mode, seed=13)
    assert not report.findings, render_report(report)
    assert report.certified
    assert report.mechanism == "GatedMean"
    assert "MyMechanism" not in file.read_text()


def test_the_comments_of_a_new_mechanism_name_checks_that_exist(tmp_path: Path) -> None:
    run(["new", "one", "--out", str(tmp_path)])
    text = (tmp_path / "one.py").read_text()
    named = {word.strip("(),.;:") for word in text.split() if "LRA" in word}
    assert len(named) > 10
    assert named <= set(ENTRIES)
    assert ast.get_docstring(ast.parse(text))


def test_a_file_that_is_there_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("precious")
    assert run(["new", "mine", "--out", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "precious"
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere.py")
    assert run(["new", "mine", "--out", str(tmp_path)]) == 2
    assert not (tmp_path / "elsewhere.py").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("9lives", "expected a Python identifier"),
        ("../mine", "expected a Python identifier"),
        ("mine.py", "expected a Python identifier"),
        ("class", "expected a Python identifier"),
        ("_hidden", "begins with a letter"),
        ("torch", "would hide the module 'torch'"),
        ("math", "would hide the module 'math'"),
        ("mechanism", "as in the contract"),
    ],
)
def test_a_name_that_cannot_be_used_is_refused(
    name: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["new", name, "--out", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_explain_lists_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ENTRIES)
    assert all(
        entry.description in line for entry, line in zip(ENTRIES.values(), lines, strict=True)
    )
    assert run(["explain", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["id"] for entry in listed] == list(ENTRIES)
    assert "page" not in listed[0]


@pytest.mark.parametrize("check", ["LRA203", "lra203", "length"])
def test_explain_prints_the_page_of_a_check(check: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", check]) == 0
    assert capsys.readouterr().out == page("LRA203")
    assert run(["explain", check, "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["id"], entry["page"]) == ("LRA203", page("LRA203").rstrip("\n"))


def test_explain_prints_both_checks_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "parameter-cap"]) == 0
    shown = capsys.readouterr().out
    assert "LRA305" in shown
    assert "LRA501" in shown


@pytest.mark.parametrize(("check", "nearest"), [("LRAX203", "LRA203"), ("casual", "causal")])
def test_an_unknown_check_has_a_nearest_one(
    check: str, nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", check]) == 2
    assert f"unknown check '{check}'. Did you mean '{nearest}'?" in capsys.readouterr().err
