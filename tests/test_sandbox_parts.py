"""The parts of the sandbox that are data or folders, and the levels as their users see them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from escapes import ESCAPES
from isolation_programs import _COLUMN, _NUMBERS

from agent_sandbox.isolation import folders as folders_module
from agent_sandbox.isolation.bubblewrap import Bubblewrap
from agent_sandbox.isolation.cards import Card
from agent_sandbox.isolation.container import IMAGE_VARIABLE, RUNTIME_VARIABLE, Container
from agent_sandbox.isolation.cuda import CudaReach, cuda_reach
from agent_sandbox.isolation.folders import Folders, remove_stale
from agent_sandbox.isolation.gaps import GAPS
from agent_sandbox.isolation.landlock import landlock_version
from agent_sandbox.isolation.opening import open_isolation
from agent_sandbox.isolation.reach import file_rules, interpreter_files, mounted_paths
from agent_sandbox.isolation.seccomp import seccomp_supported
from agent_sandbox.isolation.wall import Inside
from lra_design.cli import run
from lra_design.cli.options import isolation_options
from lra_design.cli.sandbox import sandbox
from lra_design.errors import HarnessError, IsolationUnavailable

ROOT = Path(__file__).parent.parent
needs_kernel = pytest.mark.skipif(
    not seccomp_supported() or landlock_version() is None,
    reason="needs Linux with Landlock and seccomp on x86-64 or arm64",
)


# ---------------------------------------------------------------- what a GPU needs


def machine(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


CARD = Card(uuid="GPU-c0ffee", name="NVIDIA H200", driver="570.1", bus="0000:3b:00.0")
CARDS = ("dev/nvidiactl", "dev/nvidia-uvm", "dev/nvidia0", "dev/nvidia1", "dev/sda", "dev/mem")


def test_a_machine_without_a_card_has_nothing_to_reach(tmp_path: Path) -> None:
    assert cuda_reach(machine(tmp_path, "dev/null", "dev/nvidiactl")) is None


def test_a_worker_reaches_its_cards_and_no_other_device(tmp_path: Path) -> None:
    reach = cuda_reach(machine(tmp_path, *CARDS, "usr/local/nvidia/lib64/libcuda.so"), gpus=[1])
    assert reach is not None
    assert reach.devices == ("/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia1")
    assert reach.readable == ("/usr/local/nvidia",)


def test_slices_and_windows_are_known(tmp_path: Path) -> None:
    sliced = cuda_reach(machine(tmp_path / "a", *CARDS, "dev/nvidia-caps/nvidia-cap1"))
    windows = cuda_reach(machine(tmp_path / "b", "dev/dxg", "usr/lib/wsl/lib/libcuda.so"))
    assert sliced is not None
    assert windows is not None
    assert "/dev/nvidia-caps/nvidia-cap1" in sliced.devices
    assert (windows.devices, windows.readable) == (("/dev/dxg",), ("/usr/lib/wsl",))


def test_only_a_gpu_worker_may_write_to_its_own_process(tmp_path: Path) -> None:
    reach = cuda_reach(machine(tmp_path, *CARDS))
    plain = {rule.path: rule.access for rule in file_rules("train")}
    gpu = {rule.path: rule.access for rule in file_rules("train", (), reach)}
    assert (plain["/proc/self"], gpu["/proc/self"]) == ("read", "write")
    added = {path for path in gpu if path not in plain}
    assert added == {"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1"}
    assert {gpu[path] for path in added} == {"device"}


def test_without_a_card_a_gpu_isolation_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_sandbox.isolation.opening.cuda_reach", lambda gpus: None)
    with pytest.raises(IsolationUnavailable, match="NVIDIA H200 has no device in /dev"):
        open_isolation(card=CARD)


def test_a_driver_without_unified_memory_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reach = CudaReach(devices=("/dev/nvidiactl", "/dev/nvidia0"), readable=())
    monkeypatch.setattr("agent_sandbox.isolation.opening.cuda_reach", lambda gpus: reach)
    with pytest.raises(IsolationUnavailable, match="nvidia-modprobe"):
        open_isolation(card=CARD)


@pytest.mark.slow
def test_where_cuda_does_not_start_the_sandbox_is_at_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opened for a card that is not there: its worker says so before any candidate is in it."""
    reach = CudaReach(devices=("/dev/nvidia-uvm",), readable=())
    monkeypatch.setattr("agent_sandbox.isolation.opening.cuda_reach", lambda gpus: reach)
    monkeypatch.setattr(
        "agent_sandbox.isolation.opening.file_rules", lambda *_: file_rules("train")
    )
    with pytest.raises(HarnessError, match="CUDA does not start in the sandbox, on the card GPU-"):
        open_isolation(profile="train", card=CARD)


# ---------------------------------------------------------------- reach and walls


def test_validate_executes_and_owns_nothing() -> None:
    assert {rule.access for rule in file_rules("validate")} == {"read", "write"}
    writable = {rule.path for rule in file_rules("validate") if rule.access == "write"}
    assert writable == {"/dev/null", "/dev/zero", "/dev/full"}


def test_walls_show_neither_the_project_nor_the_home_nor_each_path_twice() -> None:
    shown = mounted_paths(file_rules("train"), [str(ROOT / "tests")])
    assert str(ROOT / "tests") in shown
    assert not any(Path(path).is_relative_to("/proc") for path in shown)
    for path in shown:
        assert not ROOT.is_relative_to(path)
        assert not Path.home().is_relative_to(path)
        assert not any(path != other and Path(path).is_relative_to(other) for other in shown)


def test_a_container_is_given_the_flags_of_its_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, "true --engine")
    monkeypatch.setenv(IMAGE_VARIABLE, "other-image")
    inside = Inside(readable=("/usr/lib",), writable=("/own",), devices=("/dev/nvidia0",))
    wall = Container(inside)
    wall.require()
    command = wall.command(["python", "server"], {"LANG": "C"})
    assert command[:3] == ["true", "--engine", "run"]
    assert command[-3:] == ["other-image", "python", "server"]
    assert {
        *("--network=none", "--read-only", "--cap-drop=ALL", "--ipc=private", "--pull=never"),
        *("--security-opt=no-new-privileges", "--device=/dev/nvidia0", "--env=LANG=C"),
        "--mount=type=bind,source=/own,target=/own",
    } <= set(command)
    assert any(word.endswith("target=/usr/lib,readonly") for word in command)
    for limit in ("--memory=", "--memory-swap=", "--pids-limit=", "--cpus=", "--user="):
        assert any(word.startswith(limit) for word in command)
    user = next(word for word in command if word.startswith("--user="))
    assert user != "--user=0:0"


@pytest.mark.parametrize("runtime", ["no-such-runtime", "false"])
def test_without_a_runtime_the_level_refuses(monkeypatch: pytest.MonkeyPatch, runtime: str) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, runtime)
    with pytest.raises(IsolationUnavailable, match="podman import") as caught:
        Container(Inside(readable=())).require()
    assert caught.value.layer == "container"


def test_bubblewrap_starts_with_an_empty_environment_and_shows_only_its_binds() -> None:
    inside = Inside(readable=("/usr/lib",), writable=("/own/a",), devices=("/dev/nvidia0",))
    wall = Bubblewrap(inside)
    words = wall.command(["python"], {"LANG": "C"})
    assert wall.environment({"LANG": "C"}) == {}
    bound = [words[n + 1] for n, word in enumerate(words) if word.endswith("bind")]
    assert bound == ["/usr/lib", "/dev/nvidia0", "/own/a"]
    assert words[-4:] == ["--remount-ro", "/", "--", "python"]


def test_without_bubblewrap_the_level_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(IsolationUnavailable, match="apt install bubblewrap"):
        Bubblewrap(Inside(readable=())).require()


def test_where_namespaces_are_refused_the_level_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = tmp_path / "bwrap"
    stand_in.write_text(
        "#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(IsolationUnavailable, match="apparmor_restrict_unprivileged_userns=0") as c:
        Bubblewrap(Inside(readable=())).require()
    assert "setting up uid map" in str(c.value)


# ---------------------------------------------------------------- folders


@pytest.mark.slow
def test_folders_of_the_dead_go_and_those_of_the_living_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders_module.tempfile, "tempdir", str(tmp_path))
    living = Folders()
    script = (
        "import time; from agent_sandbox.isolation.folders import Folders\n"
        "print(Folders().private, flush=True); time.sleep(99)"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment
    ) as judge:
        assert judge.stdout is not None
        left = Path(judge.stdout.readline().strip())
        remove_stale()
        assert left.exists()
        judge.send_signal(signal.SIGKILL)
    remove_stale()
    assert not left.exists()
    assert living.private.exists()
    living.remove()
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the command


def execute(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = "import sys; from lra_design.cli import run; sys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "sandbox", "exec", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


@pytest.mark.slow
@needs_kernel
def test_every_attempt_fails_through_the_command(script: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.write_text("a secret")
    aim = {
        **{"planted": str(planted), "folder": str(tmp_path), "link": str(planted)},
        **{"tests": str(ROOT / "tests"), "home": str(tmp_path), "judge": os.getpid()},
        **{"tcp": ["127.0.0.1", 9], "path": "/x", "abstract": "x", "shared": 0},
    }
    attempts = [[e.name, e.source] for e in ESCAPES if "train" in e.profiles]
    kernel = (ROOT / "tests/isolation_programs.py").read_text()
    kernel = kernel[kernel.index("def kernel") : kernel.index("class Candidate")]
    script.write_text(
        "from __future__ import annotations\nimport ctypes, os, json\n"
        f"_COLUMN = {_COLUMN}\n_NUMBERS = {_NUMBERS!r}\n{kernel}\n"
        f"aim = {aim!r}\nthrough = []\nfor name, source in {attempts!r}:\n"
        "    try:\n"
        "        exec('import os\\n' + source, {'aim': aim, 'kernel': kernel})\n"
        "        through.append(name)\n"
        "    except OSError:\n        pass\n"
        "print(json.dumps(through))\n"
    )
    done = execute("--profile", "train", sys.executable, script)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == []
    assert len(attempts) > 150


@pytest.mark.slow
@needs_kernel
def test_a_script_in_profile_validate_runs_with_its_arguments_and_its_own_exit_code(
    script: Path,
) -> None:
    script.write_text(
        "import os, sys\nprint(*sys.argv[1:], __name__)\n"
        "try: os.fork()\nexcept PermissionError: print('no fork')\n"
        "print('err', file=sys.stderr)\nsys.exit(7)"
    )
    done = execute(sys.executable, script, "--a", "b")
    assert (done.returncode, done.stdout) == (7, "--a b __main__\nno fork\nerr\n")


LIMITED = {
    "timeout": (["--wall", "0.5"], "import time; time.sleep(99)"),
    "output": (["--output", "1"], "while True: print('x' * 1000)"),
    "filesystem": (["--disk", "3"], "for n in range(99): open(str(n), 'wb').write(bytes(10**6))"),
    "process": (
        ["--processes", "5"],
        "import os, time\nfor _ in range(9):\n    if os.fork() == 0: time.sleep(9)\ntime.sleep(9)",
    ),
}


@needs_kernel
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["timeout", "output", "filesystem", "process"])
def test_a_limit_has_an_exit_code_and_a_line(script: Path, kind: str) -> None:
    options, source = LIMITED[kind]
    script.write_text(source + "\nimport time; time.sleep(9)")
    done = execute("--profile", "train", *options, sys.executable, script)
    assert done.returncode == 124
    assert f"ended by a limit: {kind}: " in done.stderr


@needs_kernel
@pytest.mark.slow
def test_a_script_writes_to_the_named_folder_and_leaves_nothing_running(
    script: Path, tmp_path: Path
) -> None:
    name = f"{time.monotonic_ns()}"
    folder = tmp_path / "scratch"
    folder.mkdir()
    tmp_path.chmod(0o755)
    script.write_text(
        "import subprocess\nopen('made', 'w').write('x')\n"
        f"subprocess.Popen(['/bin/sleep', '{name}'])\nimport os; os.kill(os.getpid(), 15)"
    )
    done = execute("--profile", "train", "--scratch", folder, sys.executable, script)
    assert (done.returncode, (folder / "made").read_text()) == (128 + 15, "x")
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not any(name.encode() in line for line in lines)
    assert folder.stat().st_uid == os.geteuid()


def test_wrong_usage_of_the_command(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text("")
    assert run(["sandbox", "exec", "no-such-python", str(script)]) == 2
    assert run(["sandbox", "exec", "/bin/true", str(script)]) == 2
    assert "--profile train" in capsys.readouterr().err
    assert run(["sandbox", "exec", sys.executable, str(script.parent / "none.py")]) == 2


EXEC_FLAGS = {"level", "profile", "scratch", "wall", "memory", "processes", "disk", "output"}


def test_the_flags_of_the_command() -> None:
    commands = {
        name: {p.name for p in command.params if isinstance(p, click.Option)}
        for name, command in sandbox.commands.items()
    }
    assert commands == {"selftest": {"as_json"}, "exec": EXEC_FLAGS}


@pytest.mark.parametrize(
    ("words", "level"),
    [
        ([], "standard"),
        (["--isolation", "strong"], "strong"),
        (["--unsafe-no-sandbox"], "unsafe"),
        (["--unsafe-no-sandbox", "--isolation", "strong"], "unsafe"),
    ],
)
def test_commands_take_a_level(words: list[str], level: str) -> None:
    taken: list[str] = []

    @click.command()
    @isolation_options
    def command(level: str) -> None:
        taken.append(level)

    command.main(words, standalone_mode=False)
    assert taken == [level]


# ---------------------------------------------------------------- other users and machines


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Not below pytest's own, which every pytest that starts meanwhile closes to other users."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def ordinary(open_folder: Path) -> list[str]:
    """The words that start an interpreter with the project as an ordinary user."""
    if os.geteuid() != 0:
        return [sys.executable]
    python = Path("/usr/bin", Path(interpreter_files()[0]).resolve().name)
    if not python.exists() or not Path("/usr/bin/setpriv").exists():
        pytest.skip("no interpreter that another user could run, or no setpriv")
    return _for_nobody(python, open_folder)


def _for_nobody(python: Path, folder: Path) -> list[str]:
    """A virtual environment in `folder`, with the packages of this one, for user 65534."""
    import sysconfig

    site = Path(sysconfig.get_path("purelib"))
    made = folder / "venv"
    subprocess.run([python, "-m", "venv", "--without-pip", made], check=True)
    target = made / site.relative_to(sys.prefix)
    target.rmdir()
    target.symlink_to(site)
    words = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*words, made / "bin/python", "-c", "import torch"], check=False).returncode:
        pytest.skip("another user cannot reach the packages")
    return [*words, str(made / "bin/python")]


TRY = """
    import sys
    from agent_sandbox.isolation import open_isolation
    from lra_design.errors import HarnessError, IsolationUnavailable
    try:
        with open_isolation(sys.argv[1]) as walls:
            print(walls.record.level, walls.record.self_test_passed, walls.record.dropped_uid)
    except IsolationUnavailable as refusal:
        print(refusal.layer)
"""


def opened_by(words: list[str], level: str, folder: Path) -> str:
    folder.mkdir(mode=0o777, exist_ok=True)
    folder.chmod(0o777)
    environment = {"LRA_DESIGN_HOME": str(folder / "home"), "PATH": os.defpath}
    done = subprocess.run(
        [*words, "-c", textwrap.dedent(TRY), level],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.stdout.strip() or done.stderr


@needs_kernel
@pytest.mark.slow
@pytest.mark.parametrize("level", ["standard", "strong"])
def test_an_ordinary_user_has_the_levels(
    ordinary: list[str], open_folder: Path, level: str
) -> None:
    found = opened_by(ordinary, level, open_folder / "data")
    if level == "strong" and found in ("bubblewrap", "user namespaces"):
        pytest.skip(f"no {found} here")
    assert found == f"{level} True False"


@needs_kernel
@pytest.mark.slow
def test_where_user_namespaces_are_refused_standard_holds_and_strong_says_so(
    ordinary: list[str], open_folder: Path
) -> None:
    """As on GitHub's runners: no program below may make a user namespace."""
    try:
        Bubblewrap(Inside(readable=())).require()
    except IsolationUnavailable as refusal:
        pytest.skip(str(refusal))
    words = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]
    if os.geteuid() == 0:
        words = [*ordinary[:-1], *words]
    inside = [*words, "--", ordinary[-1]]
    assert opened_by(inside, "standard", open_folder / "data") == "standard True False"
    assert opened_by(inside, "strong", open_folder / "data") == "user namespaces"


# ---------------------------------------------------------------- documentation


def test_the_documentation_names_every_gap() -> None:
    text = " ".join((ROOT / "docs/sandbox.md").read_text().split())
    for gap in GAPS:
        assert f"**{gap.name}**" in text
        assert gap.reason in text
