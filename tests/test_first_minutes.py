"""A stranger's first minutes: what is missing on a bare machine, odd terminals, Ctrl-C anywhere."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from lra_design.cli import display, run
from lra_design.errors import DataError
from lra_design.home import HOME_VARIABLE, home

ROOT = Path(__file__).resolve().parent.parent
MEAN, LINEAR = (str(ROOT / "mechanisms" / f"{name}.py") for name in ("mean", "linear"))
TOOLS = ("env", "grep", "make", "mkdir", "rm", "sed", "sh", "test", "touch", "uname")
PROGRAM = str(Path(__file__).with_name("interrupted_program.py"))

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


def processes_of(folder: Path) -> list[str]:
    """The processes that were told of `folder`, by their command lines or environments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = [(process / name).read_text(errors="replace") for name in ("cmdline", "environ")]
        except OSError:  # it has gone, or is somebody else's
            continue
        if str(folder) in "".join(told):
            found.append(told[0].replace("\0", " "))
    return found


def lra_design(
    folder: Path, moment: Mapping[str, object], arguments: Sequence[str]
) -> tuple[int, str, str]:
    """Run it as a terminal does: in a process group of its own, to which a Ctrl-C goes.

    Exit code, standard output and standard error.
    """
    scratch = folder / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, PROGRAM, json.dumps(moment), *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=110,
    )
    return done.returncode, done.stdout, done.stderr


def assert_nothing_is_left(folder: Path) -> None:
    """No process, no draft, no folder for passing use, but for one that torch keeps."""
    for _ in range(50):
        if not processes_of(folder):
            break
        time.sleep(0.1)
    assert not processes_of(folder)
    assert not list(folder.rglob("*.draft"))
    left = [path.name for path in (folder / "scratch").iterdir()]
    assert not [name for name in left if not name.startswith("torchinductor_")]


IMPORTS = {"event": "import", "text": "'click'"}


def test_ctrl_c_while_the_program_is_imported_is_one_line(tmp_path: Path) -> None:
    ended = lra_design(tmp_path, IMPORTS, ["--help"])
    assert ended == (-signal.SIGINT, "", "interrupted\n")


def test_what_ignores_ctrl_c_goes_on_ignoring_it(tmp_path: Path) -> None:
    """As under nohup, or in the background of a script."""
    code, out, err = lra_design(tmp_path, {**IMPORTS, "ignored": True}, ["--help"])
    assert (code, err) == (0, "")
    assert out.startswith("Usage:")


def test_a_loop_of_a_shell_ends_with_it(tmp_path: Path) -> None:
    """A shell goes on after a program that answers Ctrl-C with an exit of its own."""
    one = f"'{sys.executable}' '{PROGRAM}' '{json.dumps(IMPORTS)}' --help"
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2; do {one}; done; echo went on"],
        cwd=ROOT,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        start_new_session=True,
    )
    assert done.stderr.count("interrupted") == 1
    assert done.stdout == ""


TRAINED, BOARD, BUNDLES = "trained", "board", "bundles"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, _own_home: Path) -> Path:
    """A training, its score and its bundle, which the commands after them are given."""
    folder = tmp_path_factory.mktemp("prepared")
    task = ["--task", "recall-probe", "--out", str(folder / TRAINED)]
    assert lra_design(folder, {}, ["train", MEAN, *task])[0] == 0
    (trained,) = (folder / TRAINED).iterdir()
    board = ["--board", str(folder / BOARD)]
    assert lra_design(folder, {}, ["score", str(trained), *board])[0] == 0
    submit = ["submit", str(trained), *board, "--weights", "-o", str(folder / BUNDLES)]
    assert lra_design(folder, {}, submit)[0] == 0
    return folder


PROBE = ["--task", "recall-probe"]
COMMANDS: dict[str, Callable[[Path, str], list[str]]] = {
    "validate": lambda out, trained: ["validate", MEAN, "--fast", "--replay", "2a"],
    "train": lambda out, trained: ["train", MEAN, *PROBE, "--out", f"{out}/new"],
    "score": lambda out, trained: ["score", trained, "--board", f"{out}/new"],
    "submit": lambda out, trained: [
        *("submit", trained, "--board", f"{out}/{BOARD}", "--weights", "-o", f"{out}/new")
    ],
    "verify": lambda out, trained: ["verify", f"{out}/{BUNDLES}"],
    "board": lambda out, trained: ["board", "show", f"{out}/{BOARD}", "--site", f"{out}/new"],
    "screen": lambda out, trained: ["screen", MEAN, LINEAR, *PROBE, "--out", f"{out}/new"],
    "tune": lambda out, trained: [
        *("tune", MEAN, *PROBE, "--trials", "2", "--seeds", "1", "--out", f"{out}/new")
    ],
    "design": lambda out, trained: [
        *("design", *PROBE, "--probes", "delay-probe", "--attempts", "2", "--seeds", "1"),
        *("--references", "mean", "--no-attribution", "--out", f"{out}/new"),
    ],
}
TORCH = {"event": "import", "text": "'torch.nn'"}
SERVER = {"event": "subprocess.Popen", "text": "start_server"}
WRITTEN = {"event": "os.rename", "text": ".draft"}
THIRD = {**WRITTEN, "number": 3}
MOMENTS = [
    *(("validate", moment) for moment in (TORCH, SERVER)),
    *(("train", moment) for moment in (TORCH, SERVER, WRITTEN, THIRD)),
    ("train", {**THIRD, "name": "SIGTERM"}),
    ("train", {**SERVER, "name": "SIGHUP"}),
    *(("score", moment) for moment in (SERVER,)),
    *(("submit", moment) for moment in (SERVER, WRITTEN)),
    *(("verify", moment) for moment in (TORCH, SERVER)),
    ("board", WRITTEN),
    *(("screen", moment) for moment in (SERVER, THIRD)),
    *(("tune", moment) for moment in (SERVER, THIRD)),
    *(("design", moment) for moment in (SERVER, WRITTEN, {**WRITTEN, "number": 9})),
]


def lasting(output: str, folder: Path) -> str:
    """What a command printed, without what differs from one time to the next."""
    return re.sub(r"\d+(\.\d+)? (device-second)?s\b", "? s", output.replace(str(folder), ""))


def asked(command: str, folder: Path) -> list[str]:
    """The command line of one of COMMANDS in a copy of what is prepared."""
    (trained,) = (folder / TRAINED).iterdir()
    return COMMANDS[command](folder, str(trained))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Callable[[str], str]:
    """What a command prints when nothing interrupts it; every command runs once."""

    @functools.cache
    def printed(command: str) -> str:
        folder = tmp_path_factory.mktemp("whole") / "copy"
        shutil.copytree(prepared, folder)
        code, out, err = lra_design(folder, {}, asked(command, folder))
        assert code == 0, err
        return lasting(out, folder)

    return printed


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("command", "moment"),
    MOMENTS,
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_ctrl_c_at_any_moment_is_one_line_and_loses_nothing(
    tmp_path: Path,
    prepared: Path,
    uninterrupted: Callable[[str], str],
    command: str,
    moment: dict[str, object],
) -> None:
    folder = tmp_path / "interrupted"
    shutil.copytree(prepared, folder)
    code, _, err = lra_design(folder, moment, asked(command, folder))
    number = signal.Signals[str(moment.get("name", "SIGINT"))]
    assert (code, "Traceback" in err, "ignored in" in err) == (-number, False, False), err
    assert err.splitlines()[-1].startswith("interrupted"), err
    assert_nothing_is_left(folder)

    code, out, err = lra_design(folder, {}, asked(command, folder))
    assert code == 0, err
    if command != "submit":  # a bundle's name is made of when its runs were, too
        assert lasting(out, folder) == uninterrupted(command)
    assert_nothing_is_left(folder)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    """Asked again while it cleans up; what it leaves then is removed by the next command."""
    command = ["train", MEAN, *PROBE, "--out", str(tmp_path / "new")]
    code, _, err = lra_design(tmp_path, {**WRITTEN, "again": 2}, command)
    assert code == -signal.SIGINT
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted")
    assert lra_design(tmp_path, {}, command)[0] == 0
    assert_nothing_is_left(tmp_path)
