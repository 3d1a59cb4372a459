"""The isolation, tried from inside by every escape known, and from outside by every accident."""

from __future__ import annotations

import importlib.util
import os
import signal
import statistics
import struct
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from agent_sandbox.isolation import Worker, open_isolation
from agent_sandbox.isolation.forked import ForkedIsolation
from agent_sandbox.isolation.landlock import landlock_version
from agent_sandbox.isolation.policy import Policy
from agent_sandbox.isolation.seccomp import assemble, seccomp_supported
from agent_sandbox.isolation.self_test import run_self_test
from lra_design.errors import CandidateFault, FaultKind, HarnessError, IsolationUnavailable
from lra_design.records import Limits

pytestmark = pytest.mark.skipif(
    not seccomp_supported() or landlock_version() is None,
    reason="needs Linux with Landlock and seccomp on x86-64 or arm64",
)
PROGRAM = "isolation_programs:Candidate"
TESTS = Path(__file__).parent
SECONDS = 20.0
MEBIBYTE = 1024**2


@pytest.fixture(scope="module")
def isolation() -> Iterator[ForkedIsolation]:
    with open_isolation(program_folders=[TESTS]) as opened:
        yield opened


@pytest.fixture
def worker(isolation: ForkedIsolation) -> Iterator[Worker]:
    with isolation.start(PROGRAM) as started:
        yield started


@pytest.fixture(scope="module")
def silent(isolation: ForkedIsolation) -> Iterator[Worker]:
    """A worker without the audit hook: what it is refused, the kernel refuses."""
    with isolation.start_program(PROGRAM, Limits(), labels=False) as started:
        yield started


def run(worker: Worker, source: str, seconds: float = SECONDS, **aim: Any) -> dict[str, Any]:
    return dict(worker.call("run", {"source": source, "aim": aim}, seconds=seconds).values)


def fault(worker: Worker, source: str, seconds: float = SECONDS, **aim: Any) -> CandidateFault:
    with pytest.raises(CandidateFault) as caught:
        run(worker, source, seconds, **aim)
    return caught.value


def refused(worker: Worker, source: str, **aim: Any) -> bool:
    reply = worker.call("attempt", {"source": source, "aim": aim}, seconds=SECONDS)
    return reply.values["refused"] is True


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def descendants(root: int) -> set[int]:
    """The processes started by `root`, and by those, that still run."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


# ---------------------------------------------------------------- what must work


def test_record_says_what_holds(isolation: ForkedIsolation) -> None:
    record = isolation.record
    assert (record.level, record.seccomp, record.self_test_passed) == ("standard", True, True)
    assert record.landlock_abi == landlock_version()
    assert any("memory limit" in gap for gap in record.gaps)


def test_a_call_carries_values_and_tensors_both_ways(worker: Worker) -> None:
    sent = {"x": torch.randn(3, 5).bfloat16(), "mask": torch.tensor([True, False])}
    reply = worker.call("echo", {"a": [1, None, "ü"]}, sent, seconds=SECONDS)
    assert reply.values == {"a": [1, None, "ü"]}
    assert all(torch.equal(reply.tensors[name], sent[name]) for name in sent)


INNOCENT = {
    "layers": """
        net = nn.Sequential(nn.Embedding(11, 13), nn.Linear(13, 13), nn.LayerNorm(13), nn.GELU())
        optimiser = torch.optim.AdamW(net.parameters(), lr=0.01)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0)
        for _ in range(3):
            net(torch.randint(0, 11, (2, 7))).square().mean().backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimiser.step(); schedule.step(); optimiser.zero_grad()
    """,
    "attention": """
        q = torch.randn(2, 3, 7, 5, requires_grad=True)
        F.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()
        nn.MultiheadAttention(15, 3, batch_first=True)(*[torch.randn(2, 7, 15)] * 3)
    """,
    "convolution and fft": """
        x = torch.randn(2, 5, 11, requires_grad=True)
        F.conv1d(x, torch.randn(5, 1, 3), groups=5, padding=2).sum().backward()
        torch.fft.irfft(torch.fft.rfft(x, n=22) * 2, n=22).sum().backward()
    """,
    "einsum and einops": """
        import einops
        x = torch.randn(2, 7, 15)
        torch.einsum("bld,bsd->bls", x, x).softmax(-1)
        einops.rearrange(x, "b l (h k) -> b h l k", h=3)
        einops.einsum(x, x, "b l d, b s d -> b l s")
    """,
    "linear algebra": """
        a = torch.randn(5, 5, dtype=torch.float64); torch.linalg.solve(a, a); torch.linalg.svd(a)
        torch.matrix_exp(a); torch.linalg.qr(a); torch.cumsum(a, 0); torch.logcumsumexp(a, 0)
        x = torch.complex(a, a); (x @ x).abs(); torch.sort(a); torch.topk(a, 2); a.numpy()
    """,
    "autocast": """
        with torch.autocast("cpu", torch.bfloat16):
            nn.Linear(7, 5)(torch.randn(3, 7))
    """,
    "save to memory": """
        import io
        buffer = io.BytesIO(); torch.save(nn.Linear(3, 5).state_dict(), buffer); buffer.seek(0)
        torch.load(buffer, weights_only=True)
    """,
    "lazy parts of torch": """
        import torch.func, torch.nn.utils.parametrize, torch.utils.checkpoint, torch.nn.attention
        from torch.nn.utils.parametrizations import weight_norm, orthogonal
        torch.func.vmap(torch.sin)(torch.randn(3)); torch.func.vjp(torch.sin, torch.randn(3))
        orthogonal(nn.Linear(5, 5))(torch.randn(3, 5)); weight_norm(nn.Linear(5, 5))
        y = torch.utils.checkpoint.checkpoint(torch.sin, torch.randn(3, requires_grad=True),
                                              use_reentrant=False)
        torch.func.functional_call(nn.Linear(3, 3), {}, torch.randn(3))
        torch.distributions.Normal(0, 1).sample(); torch.autograd.gradcheck
        torch.jit.script(nn.Linear(3, 5)); torch.quasirandom.SobolEngine(3).draw(5)
        torch.associative_scan if hasattr(torch, "associative_scan") else None
    """,
    "threads": """
        import threading
        torch.set_num_threads(2); torch.randn(300, 300) @ torch.randn(300, 300)
        thread = threading.Thread(target=lambda: torch.randn(7) + 1); thread.start(); thread.join()
    """,
    "warnings and printing": """
        import warnings, sys, os
        warnings.warn("look"); print("out"); print("err", file=sys.stderr)
        open(os.devnull, "w").write("x"); os.urandom(5); os.cpu_count(); torch.__config__.show()
    """,
    "custom functions": """
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x): return x * 2
            @staticmethod
            def backward(ctx, g): return g * 2
        Double.apply(torch.randn(3, requires_grad=True)).sum().backward()
        nn.GRU(3, 5)(torch.randn(7, 2, 3)); nn.TransformerEncoderLayer(6, 2)(torch.randn(7, 2, 6))
        torch.manual_seed(5); torch.get_rng_state(); nn.init.kaiming_normal_(torch.empty(3, 5))
    """,
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n.startswith("lazy") else []) for n in INNOCENT],
)
def test_innocent_work_is_neither_hindered_nor_reported(worker: Worker, name: str) -> None:
    source = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
    run(worker, source + textwrap.dedent(INNOCENT[name]))


def test_no_package_that_unpickles_comes_along(worker: Worker) -> None:
    """torch imports dill where it finds it, as it does beside the extra `data`."""
    assert importlib.util.find_spec("dill") is not None
    names = run(worker, "import sys; values = {'names': [n for n in sys.modules if 'dill' in n]}")
    assert names == {"names": ["dill"]}  # the entry that makes importing it fail
    assert fault(worker, "import dill").kind == "raised"


def test_an_exception_of_the_candidate_leaves_the_worker_usable(worker: Worker) -> None:
    caught = fault(worker, "def inner():\n    raise TypeError('wrong \\ud800 shape')\ninner()")
    assert caught.kind == "raised"
    assert caught.detail.startswith("TypeError: wrong")
    assert 'File "candidate.py", line 2, in inner' in caught.trace
    assert "isolation" not in caught.trace
    assert run(worker, "values = {'a': 1}") == {"a": 1}


def test_output_is_kept_for_the_author(worker: Worker) -> None:
    run(worker, "import os, sys\nprint('one')\nsys.stderr.write('two')\nos.write(1, b'three')")
    assert worker.output == b"one\ntwothree"


def test_usage_is_measured_from_outside_and_stays(isolation: ForkedIsolation) -> None:
    source = (
        "import torch\nx = torch.ones(50 * 2**20, dtype=torch.uint8)\nfor _ in range(9**5): pass"
    )
    with isolation.start(PROGRAM) as worker:
        before = worker.usage()
        run(worker, source)
    after = worker.usage()
    assert after.peak_memory_bytes - before.peak_memory_bytes > 40 * MEBIBYTE
    assert after.cpu_seconds > 0
    assert after.seconds > before.seconds
    assert worker.usage() == after


def test_workers_run_side_by_side_for_many_threads(isolation: ForkedIsolation) -> None:
    def one(number: int) -> dict[str, Any]:
        with isolation.start(PROGRAM) as worker:
            return run(worker, "import os\nvalues = {'n': aim['n'], 'pid': os.getpid()}", n=number)

    with ThreadPoolExecutor(5) as threads:
        replies = list(threads.map(one, range(17)))
    assert [reply["n"] for reply in replies] == list(range(17))
    assert len({reply["pid"] for reply in replies}) == 17


# ---------------------------------------------------------------- files


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    path = tmp_path / "planted"
    path.write_text("a secret")
    return path


def test_changing_modes_owners_and_times_has_no_effect(silent: Worker, planted: Path) -> None:
    before = planted.stat()
    source = (
        "import os; os.chmod(aim['p'], 0); os.chown(aim['p'], 1, 1); os.utime(aim['p'], (5, 5))"
    )
    run(silent, source, p=str(planted))
    assert planted.stat() == before


# ---------------------------------------------------------------- labels


LABELLED: list[tuple[FaultKind, str]] = [
    ("process", "import os; os.fork()"),
    ("process", "import os; os.system('true')"),
    ("process", "import subprocess; subprocess.run(['true'])"),
    ("process", "import os; os.execv('/bin/true', ['true'])"),
    ("process", "import os; os.kill(os.getppid(), 9)"),
    ("process", "import ctypes; ctypes.CDLL(None)"),
    ("network", "import socket; socket.socket()"),
    ("network", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')"),
    ("filesystem", "open('/tmp/new', 'w')"),
    ("filesystem", "import os; os.remove('/tmp/new')"),
    ("filesystem", "import pathlib; pathlib.Path('/tmp/new').mkdir()"),
]


@pytest.mark.parametrize(("kind", "source"), LABELLED)
def test_a_swallowed_attempt_is_found_and_named(worker: Worker, kind: str, source: str) -> None:
    swallowed = f"try:\n    {source}\nexcept BaseException:\n    pass\nvalues = {{'fine': True}}"
    caught = fault(worker, swallowed)
    assert caught.kind == kind
    with pytest.raises(CandidateFault, match=kind):
        worker.call("echo", seconds=SECONDS)


def test_an_attempt_between_two_calls_is_found_by_the_next(worker: Worker) -> None:
    source = (
        "import threading, time, os\n"
        "def later():\n    time.sleep(0.05)\n    os.system('true')\n"
        "threading.Thread(target=later).start()"
    )
    run(worker, source)
    time.sleep(0.3)
    with pytest.raises(CandidateFault) as caught:
        worker.call("echo", seconds=SECONDS)
    assert caught.value.kind == "process"


# ---------------------------------------------------------------- limits


def test_an_endless_loop_is_a_timeout(worker: Worker) -> None:
    started = time.monotonic()
    assert fault(worker, "while True: pass", seconds=0.3).kind == "timeout"
    assert time.monotonic() - started < 5


def test_an_endless_loop_in_c_is_a_timeout(worker: Worker) -> None:
    assert fault(worker, "sum(range(10**12))", seconds=0.3).kind == "timeout"


def test_total_time_is_limited_also_between_calls(isolation: ForkedIsolation) -> None:
    with isolation.start(PROGRAM, Limits(wall_seconds=0.3)) as worker:
        assert fault(worker, "import time; time.sleep(9)").kind == "timeout"


def test_threads_are_limited(isolation: ForkedIsolation) -> None:
    source = (
        "import threading, time\n"
        "for _ in range(50): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
        "time.sleep(9)"
    )
    with isolation.start(PROGRAM, Limits(num_threads=7)) as worker:
        caught = fault(worker, source)
    # A user of its own meets the kernel's limit, and so an exception, first.
    assert caught.kind == ("raised" if isolation.record.dropped_uid else "process")


# ---------------------------------------------------------------- ends and forgeries


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("import os; os._exit(3)", "exit code 3", id="_exit"),
        pytest.param("raise SystemExit(5)", "exit code 5", id="SystemExit"),
        pytest.param("raise SystemExit", "exit code 0", id="SystemExit-none"),
        pytest.param("raise KeyboardInterrupt", "exit code 130", id="KeyboardInterrupt"),
    ],
)
def test_ending_itself_is_a_fault(worker: Worker, source: str, words: str) -> None:
    caught = fault(worker, source)
    assert caught.kind == "exited"
    assert words in caught.detail


CRASHES = {
    "SIGSEGV": "import ctypes; ctypes.string_at(0)",
    "SIGABRT": "import os; os.abort()",
    "SIGKILL": "import os; os.kill(os.getpid(), 9)",
    "signal 40": "import os; os.kill(os.getpid(), 40)",
}


def test_a_crash_is_a_fault_and_renews_the_server(isolation: ForkedIsolation) -> None:
    whose = "import os; values = {'server': os.getppid()}"
    with ExitStack() as stack:
        old = stack.enter_context(isolation.start(PROGRAM))
        crashing = {
            name: stack.enter_context(isolation.start_program(PROGRAM, Limits(), labels=False))
            for name in CRASHES
        }
        before = run(old, whose)["server"]
        for name, worker in crashing.items():
            caught = fault(worker, CRASHES[name])
            assert caught.kind == "exited"
            assert name in caught.detail
        with isolation.start(PROGRAM) as new:
            assert run(new, whose)["server"] != before
        assert run(old, whose)["server"] == before


def frame(text: bytes, json_bytes: int | None = None, tensor_bytes: int = 0) -> str:
    size = len(text) if json_bytes is None else json_bytes
    data = struct.pack("<4sIQ", b"LRA1", size, tensor_bytes) + text
    return f"import os; os.write(3, {data!r})"


FORGED = {
    "garbage": "import os; os.write(3, b'garbage' * 99)",
    "wrong id": frame(b'{"id": 99, "values": {}}'),
    "bool id": frame(b'{"id": true, "values": {}}'),
    "no id": frame(b'{"values": {}}'),
    "no values": frame(b'{"id": 1}'),
    "values of another type": frame(b'{"id": 1, "values": [1]}'),
    "nan": frame(b'{"id": 1, "values": {"accuracy": NaN}}'),
    "list": frame(b"[]"),
    "giant json": frame(b"", 2**32 - 1),
    "giant tensors": frame(b"{}", None, 2**62),
    "tensors that are none": frame(b'{"id": 1, "values": {}}xxxxxxx', 23, 7),
    "unknown violation": frame(b'{"violation": {"kind": "harness"}}'),
    "violation of another type": frame(b'{"violation": 7}'),
    "error of another type": frame(b'{"id": 1, "error": 7}'),
    "closed channel": "import os, time; os.close(3); time.sleep(99)",
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_answer_is_a_fault_of_the_protocol(worker: Worker, name: str) -> None:
    assert fault(worker, FORGED[name] + "; import time; time.sleep(9)").kind == "protocol"


def test_a_forged_answer_in_advance_is_found(worker: Worker) -> None:
    run(worker, frame(b'{"id": 1, "values": {"forged": 1}}'))  # arrives before the true one
    with pytest.raises(CandidateFault) as caught:
        worker.call("echo", {"a": 1}, seconds=SECONDS)
    assert caught.value.kind == "protocol"


def test_a_dribbled_answer_is_a_timeout(worker: Worker) -> None:
    source = (
        "import os, struct, time\nos.write(3, struct.pack('<4sIQ', b'LRA1', 1000, 0))\n"
        "while True:\n    os.write(3, b' ')\n    time.sleep(0.05)"
    )
    assert fault(worker, source, seconds=0.4).kind == "timeout"


def test_a_worker_that_does_not_listen_is_a_timeout(worker: Worker) -> None:
    source = (
        "import os, signal, threading\n"
        "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGSTOP)).start()"
    )
    run(worker, source)
    time.sleep(0.4)
    with pytest.raises(CandidateFault) as caught:
        worker.call("echo", {}, {"x": torch.zeros(20 * MEBIBYTE, dtype=torch.uint8)}, seconds=0.4)
    assert caught.value.kind == "timeout"


# ---------------------------------------------------------------- faults of the harness


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("no_such_module:Candidate", "no_such_module"),
        ("isolation_programs:Nobody", "Nobody"),
        ("isolation_programs:Broken", "no such thing"),
    ],
)
def test_a_program_that_does_not_start_is_ours(
    isolation: ForkedIsolation, program: str, words: str
) -> None:
    with pytest.raises(HarnessError, match=words):
        isolation.start(program)


def test_a_question_that_cannot_be_sent_is_ours(worker: Worker) -> None:
    with pytest.raises(HarnessError):
        worker.call("echo", {"x": float("nan")}, seconds=SECONDS)
    assert worker.call("echo", {"x": 1}, seconds=SECONDS).values == {"x": 1}


def test_an_interrupted_question_ends_the_worker(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("agent_sandbox.isolation.channel.Channel.receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            worker.call("echo", seconds=SECONDS)
    with pytest.raises(HarnessError, match="closed"):
        worker.call("echo", seconds=SECONDS)


def test_a_killed_server_is_ours_and_is_replaced(isolation: ForkedIsolation) -> None:
    with isolation.start(PROGRAM) as worker:
        pids = run(worker, "import os; values = {'all': [os.getpid(), os.getppid()]}")["all"]
        os.kill(pids[1], signal.SIGKILL)
        assert wait_until(lambda: not any(map(alive, pids)))
        with pytest.raises(HarnessError):
            worker.call("echo", seconds=SECONDS)
    with isolation.start(PROGRAM) as worker:
        assert run(worker, "values = {'a': 1}") == {"a": 1}


@pytest.mark.slow
def test_servers_are_replaced_when_worn_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_sandbox.isolation.server_pool._MAX_CHILDREN", 3)
    source = "import os; values = {'server': os.getppid()}"
    with open_isolation("unsafe", program_folders=[TESTS]) as isolation:
        with isolation.start(PROGRAM) as kept:
            servers = []
            for _ in range(2):
                with isolation.start(PROGRAM) as worker:
                    servers.append(run(worker, source)["server"])
            assert run(kept, source)["server"] == servers[0] != servers[1]
        assert wait_until(lambda: not alive(servers[0]))


def test_a_closed_worker_says_so(isolation: ForkedIsolation) -> None:
    worker = isolation.start(PROGRAM)
    worker.close()
    worker.close()
    with pytest.raises(HarnessError, match="closed"):
        worker.call("echo", seconds=SECONDS)


def test_the_unsafe_level_is_stamped_and_leaves_nothing_behind(tmp_path: Path) -> None:
    before = descendants(os.getpid())
    threads = threading.active_count()
    isolation = open_isolation("unsafe", program_folders=[TESTS])
    record = isolation.record
    assert (record.level, record.seccomp, record.landlock_abi) == ("unsafe", False, None)
    assert not record.self_test_passed
    assert any("unsafe" in gap for gap in record.gaps)
    scratch = check_unsafe_worker(isolation, tmp_path)
    assert descendants(os.getpid()) - before
    isolation.close()
    isolation.close()
    assert wait_until(lambda: not descendants(os.getpid()) - before)
    assert threading.active_count() == threads
    assert not scratch.exists()
    with pytest.raises(HarnessError, match="closed"):
        isolation.start(PROGRAM)


def check_unsafe_worker(isolation: ForkedIsolation, tmp_path: Path) -> Path:
    """What holds without kernel layers; the scratch folder. Leaves a worker running."""
    # It stands for a kernel that only pretends to have the layers.
    worker = isolation.start("agent_sandbox.isolation.self_test:SelfTest")
    with worker, pytest.raises(IsolationUnavailable, match="read a file"):
        run_self_test(worker, Policy(level="standard", profile="validate", rules=()), tmp_path)
    # Shared pages are outside RLIMIT_DATA: only the watchdog sees them.
    with isolation.start(PROGRAM, Limits(memory_bytes=101 * MEBIBYTE)) as worker:
        source = (
            "import mmap, time\npages = mmap.mmap(-1, 3 * 10**8)\n"
            "for _ in range(30): pages.write(bytes(10**7))\ntime.sleep(9)"
        )
        assert fault(worker, source).kind == "memory"
    worker = isolation.start(PROGRAM)
    run(worker, "import threading, time; threading.Thread(target=time.sleep, args=(99,)).start()")
    return Path(run(worker, "import os; values = {'home': os.environ['HOME']}")["home"])


@pytest.mark.slow
def test_workers_end_with_a_killed_judge(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\nfrom agent_sandbox.isolation import open_isolation\n"
        f"isolation = open_isolation('unsafe', program_folders=[{str(TESTS)!r}])\n"
        f"worker = isolation.start({PROGRAM!r})\n"
        "source = 'import os; values = {\"p\": [os.getpid(), os.getppid()]}'\n"
        "print(*worker.call('run', {'source': source}, seconds=20).values['p'], flush=True)\n"
        "time.sleep(99)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as judge:
        assert judge.stdout is not None
        pids = [int(word) for word in judge.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        judge.kill()
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


# ---------------------------------------------------------------- refusing


def test_without_landlock_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_sandbox.isolation.opening.landlock_version", lambda: None)
    with pytest.raises(IsolationUnavailable) as caught:
        open_isolation()
    assert caught.value.layer == "landlock"
    assert "lsm=" in caught.value.remedy


def test_another_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    for level in ("standard", "unsafe"):
        with pytest.raises(IsolationUnavailable, match="container"):
            open_isolation(level)


def test_an_unknown_machine_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(IsolationUnavailable, match="riscv64"):
        open_isolation()


def test_data_within_reach_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "agent_sandbox.isolation.opening.home", lambda: Path(sysconfig.get_path("purelib"), "data")
    )
    with pytest.raises(IsolationUnavailable, match="LRA_DESIGN_HOME"):
        open_isolation()


@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_jumps_only_forward_and_within_itself(machine: str, cuda: bool) -> None:
    lines = assemble(machine, 7, cuda=cuda)
    assert len(lines) < 4096
    for index, (code, if_true, if_false, constant) in enumerate(lines):
        assert 0 <= if_true < 256
        assert 0 <= if_false < 256
        assert 0 <= constant < 2**32
        assert index + 1 + max(if_true, if_false) < len(lines) or code == 0x06


@pytest.mark.slow
def test_warm_start_is_fast(isolation: ForkedIsolation) -> None:
    times = []
    for _ in range(30):
        started = time.monotonic()
        with isolation.start(PROGRAM) as worker:
            worker.call("echo", seconds=SECONDS)
            times.append(time.monotonic() - started)
    assert statistics.median(times) < 0.25
