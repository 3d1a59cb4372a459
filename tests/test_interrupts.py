"""Ctrl-C anywhere: one line, nothing left, and the same command goes on to the same end."""

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

ROOT = Path(__file__).resolve().parent.parent
MEAN, LINEAR = (str(ROOT / "mechanisms" / f"{name}.py") for name in ("mean", "linear"))
PROGRAM = str(Path(__file__).with_name("interrupted_program.py"))


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
    assert_none_runs(folder)
    assert not list(folder.rglob("*.draft"))
    left = [path.name for path in (folder / "scratch").iterdir()]
    assert not [name for name in left if not name.startswith("torchinductor_")]


def assert_none_runs(folder: Path) -> None:
    """No process is left of a command that ended; those that see that it is gone need a moment."""
    for _ in range(50):
        if not processes_of(folder):
            break
        time.sleep(0.1)
    assert not processes_of(folder)


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
        # whoever runs the tests under nohup, or behind an `&`, has bash ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
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
    (folder / BOARD / "dossiers.jsonl").unlink()  # so that the next `submit` validates again
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


DIFFERS = (
    r"\d+(\.\d+)? (device-second)?s\b",
    r"distance to \w+: .*",  # `verify` draws other inputs every time
    r", \d+ requeued",  # a study says which of its trials were begun twice
)


def lasting(output: str, folder: Path) -> str:
    """What a command printed, without what differs from one time to the next."""
    return re.sub("|".join(DIFFERS), "", output.replace(str(folder), ""))


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
    """Asked again while it cleans up. It may then leave, as one that is killed does, a draft, and a
    folder for passing use, which the next command removes."""
    command = ["train", MEAN, *PROBE, "--out", str(tmp_path / "new")]
    code, _, err = lra_design(tmp_path, {**WRITTEN, "again": 2}, command)
    assert code == -signal.SIGINT
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("interrupted again")
    assert_none_runs(tmp_path)
    assert lra_design(tmp_path, {}, command)[0] == 0
    for draft in tmp_path.rglob("*.draft"):
        draft.unlink()
    assert_nothing_is_left(tmp_path)
