"""The fork server: a trusted process without secrets that has torch loaded and forks the workers.

Started by the judge as `python -I -u -B -m agent_sandbox.isolation.fork_server CONFIG` with an
environment made from nothing. It does what the judge asks over its control socket: `start` a
worker, say how one ended (`reap`). It ends, and its workers with it, when the judge does.
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
from dataclasses import dataclass
from typing import Any, NoReturn

import einops  # noqa: F401  (loaded once, for all workers)
import numpy as np  # noqa: F401
import safetensors.torch  # noqa: F401
import torch

from agent_sandbox.isolation.channel import Channel
from agent_sandbox.isolation.control import receive_control, send_control
from agent_sandbox.isolation.labels import arm
from agent_sandbox.isolation.lockdown import Lockdown, interpreter_folders, lock_down
from agent_sandbox.isolation.serving import serve
from agent_sandbox.isolation.user import can_change_user, unused_uid
from lra_design.errors import FaultKind

_WORKER_SOCKET = 3
"""Where the worker finds its end of the channel; 0 is /dev/null, 1 and 2 are the output pipe."""


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What the judge tells its server, as JSON in the first argument."""

    control: int
    """Descriptor of the control socket."""
    judge_pid: int
    level: str
    program_folders: list[str]
    """Folders besides the installed packages from which programs may be imported."""


class ForkServer:
    """Answers the judge's requests, one after the other."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._control = socket.socket(fileno=config.control)
        # A parent-death signal would come when the judge's *thread* ends, not the judge.
        self._judge = os.pidfd_open(config.judge_pid)
        if os.getppid() != config.judge_pid:
            raise SystemExit("the judge ended before its fork server was ready")
        self._pid = os.getpid()
        self._readable = interpreter_folders()
        self._changes_user = can_change_user(self._readable)
        self._children: dict[int, int | None] = {}  # by process id; the user id it was given

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
        num_threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
        if num_threads != 1:
            raise RuntimeError(f"expected 1 thread before a fork, found {num_threads}")
        endpoint, output = descriptors
        uid = unused_uid(self._children.values()) if self._changes_user else None
        pid = os.fork()
        if pid == 0:
            self._become_worker(program, request, endpoint, output, uid)
        self._children[pid] = uid
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
        del self._children[pid]
        return {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_memory_bytes": usage.ru_maxrss * 1024,
        }

    def _end_children(self) -> None:
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _become_worker(
        self, program: type, request: dict[str, Any], endpoint: int, output: int, uid: int | None
    ) -> NoReturn:
        """Never returns, whatever happens: a worker must not fall back into the server's loop."""
        code = 1
        try:
            _arrange_descriptors(endpoint, output)
            channel = Channel(socket.socket(fileno=_WORKER_SOCKET))
            trusted = [*self._readable, *self._config.program_folders, "<frozen "]
            try:
                lock_down(self._plan(request, uid))
                instance = program()
                if request["labels"]:
                    arm(lambda kind, detail: _report(channel, kind, detail))
            except Exception as error:  # nothing of the candidate has run: ours, and said so
                channel.send({"setup_error": f"{type(error).__name__}: {error}"})
            else:
                channel.send({"ready": {"dropped_uid": uid is not None}})
                serve(channel, instance, trusted)
                code = 0
        finally:
            os._exit(code)

    def _plan(self, request: dict[str, Any], uid: int | None) -> Lockdown:
        return Lockdown(
            kernel_layers=self._config.level == "standard",
            readable=self._readable,
            memory_bytes=request["memory_bytes"],
            num_threads=request["num_threads"],
            wall_seconds=request["wall_seconds"],
            uid=uid,
            server_pid=self._pid,
        )


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


if __name__ == "__main__":
    main()
