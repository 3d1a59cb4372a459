"""Every backend, tried from inside by the same attempts to leave it.

A test is one family of attempts against one level and profile. What gets through must be exactly
what `KNOWN` lists, with its reason; the gaps that no attempt can show are in `gaps.GAPS`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from escapes import ABSENT, ESCAPES, FAMILIES, Escape

from agent_sandbox.isolation import Worker, open_isolation
from agent_sandbox.isolation.cards import choose_card
from agent_sandbox.isolation.forked import ForkedIsolation
from agent_sandbox.isolation.landlock import landlock_version
from agent_sandbox.isolation.seccomp import seccomp_supported
from agent_sandbox.isolation.worker import IsolatedWorker
from lra_design.errors import CandidateFault, IsolationUnavailable
from lra_design.home import home
from lra_design.records import Limits

pytestmark = pytest.mark.skipif(
    not seccomp_supported() or landlock_version() is None,
    reason="needs Linux with Landlock and seccomp on x86-64 or arm64",
)
PROGRAM = "isolation_programs:Candidate"
TESTS = Path(__file__).parent
SECONDS = 20.0
MEBIBYTE = 1024**2

LATER = (("container", "validate"), ("container", "train"), ("strong", "validate"))
"""A container takes seconds to start; the last is the walls of `strong-train` around the filter of
`standard-validate`."""
BACKENDS = [
    pytest.param(
        (level, profile),
        id=f"{level}-{profile}",
        marks=[pytest.mark.slow] if (level, profile) in LATER else [],
    )
    for level in ("standard", "strong", "container")
    for profile in ("validate", "train")
]

KNOWN: dict[tuple[str, str], dict[str, str]] = {}
"""By level and profile: attempts that get through, and why that is so. None is known."""


@pytest.fixture(scope="module", params=BACKENDS)
def walls(request: pytest.FixtureRequest) -> Iterator[ForkedIsolation]:
    level, profile = request.param
    try:
        opened = open_isolation(level, profile=profile, program_folders=[TESTS])
    except IsolationUnavailable as refusal:
        if level == "standard":
            raise
        pytest.skip(str(refusal))
    with opened:
        yield opened


@pytest.fixture(scope="module")
def inmate(walls: ForkedIsolation) -> Iterator[IsolatedWorker]:
    """A worker without the audit hook: what it is refused, the kernel refuses."""
    with walls.start_program(PROGRAM, Limits(), labels=False) as started:
        yield started


@pytest.fixture(scope="module")
def aim(inmate: IsolatedWorker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """What the attempts aim at: all of it open to the judge."""
    folder = tmp_path_factory.mktemp("aims")
    planted, path = folder / "planted", f"/tmp/lra-design-{os.urandom(6).hex()}"
    planted.write_text("a secret")
    link = Path(inmate.plan.scratch or folder) / "link"
    link.symlink_to(planted)
    libc = ctypes.CDLL(None, use_errno=True)
    shared = libc.shmget(0, 4096, 0o1666)
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as by_path,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        by_path.bind(path)
        Path(path).chmod(0o777)
        abstract.bind(f"\0{path}")
        for listener in (by_path, abstract):
            listener.listen()
        yield {
            "planted": str(planted),
            "folder": str(folder),
            "link": str(link),
            "tests": str(TESTS),
            "home": str(home()),
            "judge": os.getpid(),
            "tcp": list(tcp.getsockname()),
            "path": path,
            "abstract": path,
            "shared": shared,
        }
    libc.shmctl(shared, 0, 0)
    Path(path).unlink()


def run(worker: Worker, source: str, seconds: float = SECONDS, **aim: Any) -> dict[str, Any]:
    return dict(worker.call("run", {"source": source, "aim": aim}, seconds=seconds).values)


def fault(worker: Worker, source: str, seconds: float = SECONDS) -> CandidateFault:
    with pytest.raises(CandidateFault) as caught:
        run(worker, source, seconds)
    return caught.value


def gets_through(worker: Worker, escape: Escape, aim: dict[str, Any], walled: bool) -> bool:
    request = {"source": f"import os\n{escape.source}", "aim": aim}
    try:
        reply = worker.call("attempt", request, seconds=SECONDS).values
    except CandidateFault as caught:
        pytest.fail(f"'{escape.name}' ended the worker: {caught}")
    if not reply["refused"]:
        return True
    accepted = escape.errors
    # A file that this machine does not have proves nothing and is no escape either.
    absent = ABSENT if walled or escape.family == "devices" else frozenset()
    return accepted is not None and reply["errno"] not in accepted | absent


@pytest.mark.parametrize("family", FAMILIES)
def test_no_attempt_gets_through(
    walls: ForkedIsolation, inmate: IsolatedWorker, aim: dict[str, Any], family: str
) -> None:
    level, profile = walls.record.level, walls.record.profile
    escapes = [e for e in ESCAPES if e.family == family and profile in e.profiles]
    walled = level in ("strong", "container")
    through = {e.name for e in escapes if gets_through(inmate, e, aim, walled)}
    known = KNOWN.get((level, profile), {})
    assert through == {escape.name for escape in escapes if escape.name in known}
    assert Path(aim["planted"]).read_text() == "a secret"
    assert {p.name for p in Path(aim["folder"]).iterdir()} <= {"planted", "link"}


def test_changing_modes_owners_and_times_has_no_effect(
    inmate: IsolatedWorker, aim: dict[str, Any]
) -> None:
    before = Path(aim["planted"]).stat()
    source = """
        for change in (lambda p: os.chmod(p, 0), lambda p: os.chown(p, 1, 1),
                       lambda p: os.utime(p, (5, 5))):
            try: change(aim['planted'])
            except OSError: pass
    """
    run(inmate, "import os\n" + _dedent(source), **aim)
    assert Path(aim["planted"]).stat() == before


def test_the_environment_holds_nothing_of_the_judge(
    walls: ForkedIsolation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2")
    with walls.start_program(PROGRAM, Limits(), labels=False) as worker:
        values = run(worker, "import os; values = dict(os.environ)")
    allowed = {"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR"}
    allowed |= {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    if walls.record.profile == "train":
        allowed |= {"USER", "TORCHINDUCTOR_COMPILE_THREADS", "TRITON_CACHE_DIR"}
        allowed |= {"CUDA_CACHE_PATH", "TORCH_EXTENSIONS_DIR"}
    if walls.record.level == "container":
        allowed |= {"HOSTNAME", "TERM", "container"}  # every runtime's own
    if walls.record.level == "strong":
        allowed |= {"PWD"}
    assert set(values) <= allowed


def test_no_descriptor_is_inherited(walls: ForkedIsolation) -> None:
    source = (
        "import os\nvalues = {}\n"
        "for n in range(256):\n"
        "    try: os.fstat(n); values[str(n)] = os.readlink(f'/proc/self/fd/{n}').split(':')[0]\n"
        "    except OSError: pass"
    )
    with walls.start_program(PROGRAM, Limits(), labels=False) as worker:
        inside = run(worker, source)
    assert inside == {"0": "/dev/null", "1": "pipe", "2": "pipe", "3": "socket"}


def test_workers_have_no_capabilities(walls: ForkedIsolation, inmate: IsolatedWorker) -> None:
    status = run(inmate, "values = {'s': open('/proc/self/status').read()}")["s"]
    sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
    if os.geteuid() != 0:
        del sets["CapBnd"]  # only root can empty it, and to others it gives nothing
    assert set(sets.values()) == {"0000000000000000"}
    assert "NoNewPrivs:\t1" in status


def test_a_signal_to_everybody_reaches_nobody_else(
    walls: ForkedIsolation, inmate: IsolatedWorker
) -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGWINCH, lambda number, _: received.append(number))
    try:
        run(
            inmate,
            "import os, signal\ntry: os.kill(-1, signal.SIGWINCH)\nexcept OSError: pass",
        )
        time.sleep(0.05)
    finally:
        signal.signal(signal.SIGWINCH, before)
    assert not received


# ---------------------------------------------------------------- bombs


MEMORY_BOMBS = {
    "page tables": "import mmap\nsize = 1 << 40\n"
    "pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, prot=1)\n"
    "for at in range(0, size, 1 << 21): pages[at]",
    "tensor": "import torch; torch.ones(10**9)",
    "slow": "x = []\nwhile True: x.append(bytearray(10**6))",
}


@pytest.mark.parametrize("name", MEMORY_BOMBS)
def test_memory_is_limited(walls: ForkedIsolation, name: str) -> None:
    with walls.start(PROGRAM, Limits(memory_bytes=211 * MEBIBYTE)) as worker:
        assert fault(worker, MEMORY_BOMBS[name]).kind == "memory"
    assert worker.usage().peak_memory_bytes < 700 * MEBIBYTE


@pytest.mark.parametrize("loop", ["while True: os.write(1, b'x' * 4096)", "print('x' * 10**7)"])
def test_a_flood_of_output_is_stopped(walls: ForkedIsolation, loop: str) -> None:
    with walls.start(PROGRAM, Limits(output_bytes=10_007)) as worker:
        assert fault(worker, f"import os\n{loop}").kind == "output"
        assert len(worker.output) == 10_007


def test_sleep_is_a_timeout(walls: ForkedIsolation) -> None:
    with walls.start(PROGRAM, Limits(wall_seconds=0.3)) as worker:
        source = (
            "import signal, time\n"
            "for n in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
            "    signal.signal(n, signal.SIG_IGN)\n"
            "time.sleep(99)"
        )
        assert fault(worker, source).kind == "timeout"


def only(walls: ForkedIsolation, profile: str) -> None:
    if walls.record.profile != profile:
        pytest.skip(f"profile {profile} alone")


FORK_BOMBS = {
    "processes": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "threads": "import threading, time\n"
    "while True:\n    try: threading.Thread(target=time.sleep, args=(9,)).start()\n"
    "    except RuntimeError: time.sleep(0.01)",
}


@pytest.mark.parametrize("name", FORK_BOMBS)
def test_a_fork_bomb_is_stopped_and_cleared_away(walls: ForkedIsolation, name: str) -> None:
    only(walls, "train")
    with walls.start(PROGRAM, Limits(num_processes=23, num_threads=23)) as worker:
        session = worker._pid
        # A user of its own meets the kernel's limit, and so only the call's own time, first.
        assert fault(worker, FORK_BOMBS[name], 1.0).kind in ("process", "timeout")
    assert wait_until(lambda: not members(session))


def test_daemons_do_not_outlive_the_worker(walls: ForkedIsolation) -> None:
    only(walls, "train")
    name = f"{os.getpid()}{time.monotonic_ns()}"
    source = f"""
        import os, signal, subprocess, sys
        code = 'import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep({name})'
        if os.fork() == 0:
            if os.fork() == 0:
                try: os.setsid()
                except OSError: pass
                os.execv('/bin/sleep', ['/bin/sleep', '{name}'])
            os._exit(0)
        os.wait()
    """
    with walls.start(PROGRAM) as worker:
        run(worker, _dedent(source))
        assert wait_until(lambda: commands(name))
    assert wait_until(lambda: not commands(name))


DISK_BOMBS = {
    "one file": "with open('x', 'wb') as f:\n    while True: f.write(bytes(10**6))",
    "many files": "for n in range(10**6): open(str(n), 'w').close()",
    "large files": "for n in range(99):\n  with open(str(n), 'wb') as f: f.write(bytes(10**7))\n"
    "import time; time.sleep(9)",
    "deep folders": "import os\nwhile True:\n    os.mkdir('d' * 200); os.chdir('d' * 200)",
    "closed folder": "import os, time\nos.mkdir('d')\nos.mkdir('e', 0)\ntime.sleep(9)",
}


@pytest.mark.parametrize("name", DISK_BOMBS)
def test_the_scratch_folder_is_limited(walls: ForkedIsolation, name: str) -> None:
    only(walls, "train")
    if name == "closed folder" and os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    limits = Limits(disk_bytes=31 * MEBIBYTE, num_files=101)
    with walls.start(PROGRAM, limits) as worker:
        scratch = Path(worker.plan.scratch or "")
        assert scratch.exists()
        caught = fault(worker, DISK_BOMBS[name])
        # A single file meets the kernel's limit first.
        assert caught.kind == ("raised" if name == "one file" else "filesystem")
    assert not scratch.exists()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["standard", "strong", "container"])
def test_nothing_outlives_a_killed_judge(level: str) -> None:
    name = f"{os.getpid()}{time.monotonic_ns()}"  # in the command of everything that is started
    source = f"import subprocess; subprocess.Popen(['/bin/sleep', '{name}'])"
    script = (
        "import time\nfrom agent_sandbox.isolation import open_isolation\n"
        "from lra_design.errors import IsolationUnavailable\n"
        f"folders = [{str(TESTS)!r}, '/nowhere/{name}']\n"
        "try:\n"
        f"    isolation = open_isolation({level!r}, profile='train', program_folders=folders)\n"
        "except IsolationUnavailable as refusal:\n    raise SystemExit(str(refusal))\n"
        f"worker = isolation.start({PROGRAM!r})\n"
        f"worker.call('run', {{'source': {source!r}}}, seconds=20)\n"
        "print('ready', flush=True)\ntime.sleep(99)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as judge:
        assert judge.stdout is not None
        assert judge.stderr is not None
        ready = judge.stdout.readline()
        others = set(commands(name)) - {judge.pid}
        judge.kill()
        said = "" if ready else judge.stderr.read().decode()
    if not ready:
        pytest.skip(said)
    assert len(others) >= 3  # the fork server, its worker and the worker's own
    assert wait_until(lambda: not commands(name))


@pytest.mark.gpu
def test_no_memory_is_left_on_the_card() -> None:
    card = choose_card("cuda")
    with open_isolation("standard", profile="train", program_folders=[TESTS], card=card) as walls:
        fill = "import torch; x = torch.full((2**28,), 77, dtype=torch.int32, device='cuda')"
        look = (
            "import torch; x = torch.empty(2**28, dtype=torch.int32, device='cuda')\n"
            "values = {'found': int((x == 77).sum())}"
        )
        with walls.start(PROGRAM) as worker:
            run(worker, fill)
        with walls.start(PROGRAM) as worker:
            assert run(worker, look)["found"] == 0


# ---------------------------------------------------------------- what must work


def test_a_compiler_works_in_profile_train(walls: ForkedIsolation) -> None:
    only(walls, "train")
    source = """
        import ctypes, pathlib, subprocess
        pathlib.Path('a.c').write_text('int seven(void) { return 7; }')
        subprocess.run(['cc', '-shared', '-fPIC', '-o', 'a.so', 'a.c'], check=True)
        values = {'seven': ctypes.CDLL('./a.so').seven()}
    """
    if not any(Path(folder, "cc").exists() for folder in os.defpath.split(":")):
        pytest.skip("no C compiler")
    with walls.start(PROGRAM) as worker:
        assert run(worker, _dedent(source)) == {"seven": 7}


@pytest.mark.slow
def test_torch_compiles_in_profile_train(walls: ForkedIsolation) -> None:
    only(walls, "train")
    source = """
        import torch
        double = torch.compile(lambda x: torch.relu(x) * 2)
        values = {'sum': double(torch.ones(7)).sum().item()}
    """
    with walls.start(PROGRAM) as worker:
        assert run(worker, _dedent(source), 110) == {"sum": 14.0}


def _dedent(source: str) -> str:
    import textwrap

    return textwrap.dedent(source)


def wait_until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def members(session: int) -> list[int]:
    """The processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def commands(word: str) -> list[int]:
    """The processes with `word` in their command."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in line.read_bytes() and int(line.parent.name) != os.getpid():
                found.append(int(line.parent.name))
    return found
