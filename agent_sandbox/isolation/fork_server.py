"""The fork server: a trusted process without secrets that has torch loaded and forks the workers.

Started by the judge, in a wall where there is one, as
`python -I -u -B -m agent_sandbox.start_server CONFIG` with an environment made from
nothing. It does what the judge asks over its control socket: say `hello`, `start` a worker, say
how one ended (`reap`). It ends, and its workers with it, when the judge does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, NoReturn

import einops  # noqa: F401  (loaded once, for all workers)
import numpy as np  # noqa: F401
import safetensors.torch  # noqa: F401
import torch

from agent_sandbox.isolation.channel import Channel
from agent_sandbox.isolation.control import receive_control, send_control
from agent_sandbox.isolation.cuda import start_cuda
from agent_sandbox.isolation.labels import arm
from agent_sandbox.isolation.lockdown import Lockdown, lock_down
from agent_sandbox.isolation.own_network import enter_own_network, open_door
from agent_sandbox.isolation.reach import interpreter_folders
from agent_sandbox.isolation.serving import serve
from agent_sandbox.isolation.user import can_change_user
from lra_design.errors import FaultKind

_WORKER_SOCKET = 3
"""Where the worker finds its end of the channel; 0 is /dev/null, 1 and 2 are the output pipe."""
SCRATCH_VARIABLES = (
    *("HOME", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TORCH_EXTENSIONS_DIR"),
    *("TRITON_CACHE_DIR", "CUDA_CACHE_PATH"),
)


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the judge tells its server, as JSON in the first argument."""

    control: int | str
    """The control socket: a descriptor, or the path of one that listens."""
    own_namespace: bool
    """The first process it sees belongs to it: killing that one ends all."""
    program_folders: list[str]
    """Folders besides the installed packages from which programs may be imported."""
    own_network: bool
    """There is to be a network with nothing in it but a door, which the judge is handed."""


class ForkServer:
    """Answers the judge's requests, one after the other."""

    def __init__(self, config: ServerConfig) -> None:
        self._control = _connect(config.control)
        # Watched besides the socket, of which a fork of the judge may hold a copy. A parent-death
        # signal would come when the judge's *thread* ends, and not pass a process namespace.
        _, [self._judge] = receive_control(self._control)
        self._pid = os.getpid()
        doors = self._doors(config)
        readable = interpreter_folders()
        self._changes_user = can_change_user(readable)
        self._trusted = [*readable, *config.program_folders, "<frozen "]
        self._children: set[int] = set()
        # What the judge kills to end everything.
        root = os.pidfd_open(1 if config.own_namespace else self._pid)
        given = [root, *(door.detach() for door in doors)]
        send_control(self._control, {"changes_user": self._changes_user}, given)
        for descriptor in given:
            os.close(descriptor)

    def _doors(self, config: ServerConfig) -> list[socket.socket]:
        """The door, in a network of our own: the outer wall's where there is one."""
        if not config.own_network:
            return []
        try:
            if not config.own_namespace:
                enter_own_network()
            return [open_door()]
        except OSError as error:
            send_control(self._control, {"no_network": str(error)})
            raise

    def run(self) -> None:
        """Serve until the judge is gone or closes the control socket; then end every worker."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._judge, select.POLLIN)
        try:
            while self._judge not in [descriptor for descriptor, _ in poll.poll()]:
                request, descriptors = receive_control(self._control)
                self._answer(request, descriptors)
        except (EOFError, OSError):
            return
        finally:
            self._end_children()

    def _answer(self, request: dict[str, Any], descriptors: list[int]) -> None:
        if request["do"] == "reap":
            send_control(self._control, self._reap(request["pid"]))
            return
        try:
            answer, process = self._start(request, descriptors)
        except Exception as error:  # the judge raises it as a fault of the harness
            send_control(self._control, {"error": f"{type(error).__name__}: {error}"})
        else:
            send_control(self._control, answer, [process])
            os.close(process)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _start(self, request: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], int]:
        program = self._load(request["program"])
        plan = Lockdown.from_values(request["plan"])
        if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            raise RuntimeError("CUDA was initialised before a fork, after which nobody can use it")
        num_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        if num_threads != 1:
            raise RuntimeError(f"expected 1 thread before a fork, found {num_threads}")
        endpoint, output = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_worker(program, plan, request["labels"], endpoint, output)
        self._children.add(pid)
        return {"pid": pid}, os.pidfd_open(pid)

    def _load(self, program: str) -> type:
        module, _, name = program.partition(":")
        loaded: type = getattr(importlib.import_module(module), name)
        # Keeps later collections in the workers from touching, and so copying, the shared pages.
        gc.collect()
        gc.freeze()
        return loaded

    def _reap(self, pid: int) -> dict[str, Any]:
        if pid not in self._children:
            return {"error": f"no worker {pid}"}
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            return {"error": f"worker {pid} still runs"}
        self._children.remove(pid)
        self._reap_strangers()
        return {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }

    def _reap_strangers(self) -> None:
        """What the first process of a namespace inherits: orphans of workers that are gone."""
        with contextlib.suppress(ChildProcessError):
            while self._pid == 1:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None or ended.si_pid in self._children:
                    return
                os.waitpid(ended.si_pid, 0)

    def _end_children(self) -> None:
        for pid in self._children:
            with contextlib.suppress(OSError):  # before it has a session of its own: by id alone
                os.kill(pid, signal.SIGKILL)
                os.killpg(pid, signal.SIGKILL)

    def _become_worker(
        self, program: type, plan: Lockdown, labels: bool, endpoint: int, output: int
    ) -> NoReturn:
        """Never returns, whatever happens: a worker must not fall back into the server's loop."""
        code = 1
        try:
            _arrange_descriptors(endpoint, output)
            channel = Channel(socket.socket(fileno=_WORKER_SOCKET))
            try:
                if plan.scratch:
                    _use_scratch(plan.scratch)
                lock_down(plan, self._pid)
                if plan.card is not None:
                    start_cuda(plan.card)
                instance = program()
                if labels:
                    arm(lambda kind, detail: _report(channel, kind, detail))
            except Exception as error:  # nothing of the candidate has run: ours, and said so
                channel.send({"setup_error": f"{type(error).__name__}: {error}"})
            else:
                channel.send({"ready": True})
                serve(channel, instance, self._trusted)
                code = 0
        finally:
            os._exit(code)


def _connect(control: int | str) -> socket.socket:
    if isinstance(control, int):
        return socket.socket(fileno=control)
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connected.connect(control)
    return connected


def _use_scratch(scratch: str) -> None:
    """Let every program that asks the environment for a place to write find the worker's own."""
    for name in SCRATCH_VARIABLES:
        os.environ[name] = scratch
    os.environ |= {"USER": "sandbox", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    tempfile.tempdir = None


def _report(channel: Channel, kind: FaultKind, detail: str) -> None:
    channel.send({"violation": {"kind": kind, "detail": detail}})


def _arrange_descriptors(endpoint: int, output: int) -> None:
    """Leave the worker its channel and its output, and nothing else of the server's."""
    spare = 100  # above all targets, so that no copy overwrites a source
    endpoint, output = os.dup2(endpoint, spare), os.dup2(output, spare + 1)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2), (endpoint, _WORKER_SOCKET)):
        os.dup2(source, target)
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(descriptor) > _WORKER_SOCKET:
            with contextlib.suppress(OSError):  # the one that listed the folder
                os.close(int(descriptor))


def main() -> None:
    """Run the server that the configuration in the first argument asks for."""
    config = ServerConfig(**json.loads(sys.argv[1]))
    sys.path.extend(config.program_folders)
    torch.set_num_threads(1)
    ForkServer(config).run()
    os._exit(0)  # nothing to clean up, and torch's own cleaning up takes long
