"""A stranger's first minutes: what is missing on a bare machine, and odd terminals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lra_design.cli import display, run
from lra_design.errors import DataError
from lra_design.home import HOME_VARIABLE, home

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("env", "grep", "make", "mkdir", "rm", "sed", "sh", "test", "touch", "uname")

OLD_PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo Python 3.9.2
"""
WITHOUT_VENV = """#!/bin/sh
[ "$2" != venv ]
"""
FAILS_ONCE = """#!/bin/sh
# `-m venv FOLDER` leaves itself as the Python there; the first pip stops half-way.
[ "$2" = venv ] && { mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; exit 0; }
[ "$2" = pip ] || exit 0
[ -e tried ] && exit 0
echo > tried
echo > .venv/half
exit 1
"""


def make(folder: Path, python: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make` in a checkout where `python3` is the script given, and no other Python is there."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in (*TOOLS, "cp"):
        if not (tools / name).exists():
            (tools / name).symlink_to(shutil.which(name) or pytest.skip(f"no {name} here"))
    if python is not None:
        (tools / "python3").write_text(python)
        (tools / "python3").chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy2(ROOT / name, folder)
    return subprocess.run(
        ["make", *arguments], cwd=folder, env={"PATH": str(tools)}, capture_output=True, text=True
    )


@pytest.mark.parametrize(
    ("python", "arguments", "said"),
    [
        (OLD_PYTHON, ["demo"], "expected Python 3.11 or later, found Python 3.9.2 as 'python3'"),
        (None, ["demo"], "make demo PYTHON=/path/to/python3.11"),
        (WITHOUT_VENV, ["setup"], "apt install python3-venv"),
        (FAILS_ONCE, ["setup", "VENV=/proc/nowhere"], "make setup VENV=/path/to/venv OUT="),
    ],
)
def test_what_a_bare_machine_lacks_is_named_with_a_remedy(
    tmp_path: Path, python: str | None, arguments: list[str], said: str
) -> None:
    done = make(tmp_path, python, *arguments)
    assert done.returncode == 2
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("error:"))
    assert said in error
    assert not (tmp_path / ".venv" / ".ready").exists()


def test_an_installation_that_stopped_half_way_is_begun_again(tmp_path: Path) -> None:
    assert "begins it again" in make(tmp_path, FAILS_ONCE, "setup").stderr
    assert (tmp_path / ".venv" / "half").exists()
    assert make(tmp_path, FAILS_ONCE, "setup").returncode == 0
    assert (tmp_path / ".venv" / ".ready").exists()
    assert not (tmp_path / ".venv" / "half").exists()
    assert make(tmp_path, FAILS_ONCE, "setup").stdout.startswith("make: Nothing to be done")


def test_a_user_without_a_home_is_told_which_variable_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv(HOME_VARIABLE)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(DataError, match=f"Set {HOME_VARIABLE} to a folder that lasts"):
        home()


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("--help > /dev/full", 3),
        ("--help <&- >&- 2>&-", 0),
        ("--help | true", 0),
        ("nonsense 2>&-", 2),
    ],
)
def test_an_output_that_is_closed_full_or_left(shell: str, code: int) -> None:
    command = f'"{sys.executable}" -m lra_design {shell}'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_locale_that_lacks_a_character_shows_a_question_mark() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lra_design", "mechanisms"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.isascii()
    assert b"?" in done.stdout


def test_a_narrow_terminal_wraps_and_loses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = []
    for columns in ("40", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        assert run(["mechanisms"]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert max(map(len, printed[1].splitlines())) <= 80


def test_the_time_left_is_told_once_the_speed_tells_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(display, "LINE_EVERY_SECONDS", 0.0)
    with display.Display().stage("drawing", 1000) as stage:
        stage.advance("examples", 10, "10 of 1000")
        stage.advance("examples", 100, "100 of 1000")
    first, second = capsys.readouterr().err.splitlines()[-2:]
    assert first == "    1 %  10 of 1000"
    assert re.fullmatch(r"   10 %  about \d+ s left  100 of 1000", second)
