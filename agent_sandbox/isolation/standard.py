"""Isolation by the kernel's own means: a forked process that locks itself down. Linux only.

The judge stays a process that its user can debug and trace: making it undumpable would only repeat
what Landlock and seccomp deny to a worker already, which is any way to /proc/<judge>, ptrace and
process_vm_readv. The self-test tries the first, the tests try them all.
"""

from __future__ import annotations

import atexit
import os
import platform
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from agent_sandbox.isolation.landlock import landlock_version
from agent_sandbox.isolation.lockdown import SYSTEM_PATHS, interpreter_folders
from agent_sandbox.isolation.seccomp import seccomp_supported
from agent_sandbox.isolation.self_test import LANDLOCK_REMEDY, run_innocent, run_self_test
from agent_sandbox.isolation.server_pool import ServerPool
from agent_sandbox.isolation.worker import IsolatedWorker
from lra_design.errors import DataError, HarnessError, IsolationUnavailable
from lra_design.home import HOME_VARIABLE, home
from lra_design.records import IsolationRecord, Limits

Level = Literal["standard", "unsafe"]
_SELF_TEST = "agent_sandbox.isolation.self_test:SelfTest"
_READY_SECONDS = 60.0
_WATCH_SECONDS = 0.025


class ForkedIsolation:
    """Starts workers from a fork server and watches them. Implements `protocol.Isolation`."""

    def __init__(self, level: Level, program_folders: Sequence[str]) -> None:
        self._owner = os.getpid()
        self._scratch = Path(tempfile.mkdtemp(prefix="lra-design-isolation-"))
        self._pool = ServerPool(level, program_folders, self._scratch)
        self._lock = threading.Lock()
        self._workers: set[IsolatedWorker] = set()
        self._closing = threading.Event()
        self._watchdog = threading.Thread(
            target=self._watch, name="isolation-watchdog", daemon=True
        )
        self._watchdog.start()
        atexit.register(self.close)
        try:
            self._record = self._establish(level)
        except BaseException:
            self.close()
            raise

    def _establish(self, level: Level) -> IsolationRecord:
        """Start the first worker, see that the isolation holds, and say what it is."""
        standard = level == "standard"
        worker, dropped_uid = self.start_program(_SELF_TEST, Limits(), labels=False)
        with worker:
            if standard:
                run_self_test(worker)
            else:
                run_innocent(worker)
        return IsolationRecord(
            level=level,
            landlock_abi=landlock_version() if standard else None,
            seccomp=standard,
            dropped_uid=dropped_uid,
            self_test_passed=standard,
            gaps=_gaps(standard, dropped_uid),
            limits=Limits(),
        )

    @property
    def record(self) -> IsolationRecord:
        """See `protocol.Isolation.record`."""
        return self._record

    def start(self, program: str, limits: Limits | None = None) -> IsolatedWorker:
        """See `protocol.Isolation.start`."""
        worker, _ = self.start_program(program, limits or Limits(), labels=True)
        return worker

    def start_program(
        self, program: str, limits: Limits, *, labels: bool
    ) -> tuple[IsolatedWorker, bool]:
        """A worker, and whether its user id was dropped; `labels` arms the audit hook in it."""
        if self._closing.is_set():
            raise HarnessError("this isolation is closed; open another one")
        ours, theirs = socket.socketpair()
        readable, writable = os.pipe()
        request = {
            "program": program,
            "labels": labels,
            "memory_bytes": limits.memory_bytes,
            "num_threads": limits.num_threads,
            "wall_seconds": limits.wall_seconds,
        }
        try:
            server, pid, process = self._pool.start(request, [theirs.fileno(), writable])
        except BaseException:
            ours.close()
            os.close(readable)
            raise
        finally:
            theirs.close()
            os.close(writable)
        worker = IsolatedWorker(
            server=server,
            pid=pid,
            process=process,
            endpoint=ours,
            output=readable,
            limits=limits,
            on_end=self._forget,
        )
        with self._lock:
            self._workers.add(worker)
        return worker, worker.wait_ready(time.monotonic() + _READY_SECONDS)

    def _forget(self, worker: IsolatedWorker, crashed: bool) -> None:
        with self._lock:
            self._workers.discard(worker)
        if crashed:
            # All workers of one server share its address layout: a crash may have told some of it.
            self._pool.recycle(worker.server)

    def _watch(self) -> None:
        while not self._closing.wait(_WATCH_SECONDS):
            with self._lock:
                workers = list(self._workers)
            for worker in workers:
                worker.inspect()

    def close(self) -> None:
        """See `protocol.Isolation.close`."""
        if self._closing.is_set() or os.getpid() != self._owner:
            return
        self._closing.set()
        self._watchdog.join()
        with self._lock:
            workers = list(self._workers)
        for worker in workers:
            worker.close()
        self._pool.close()
        shutil.rmtree(self._scratch, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _gaps(standard: bool, dropped_uid: bool) -> tuple[str, ...]:
    gaps = [
        "memory limit: best effort (RLIMIT_DATA and a watchdog, no cgroup)",
        "processor time: limited by wall-clock time only",
    ]
    if not dropped_uid:
        gaps.append("thread limit: best effort (a watchdog counts every few milliseconds)")
    if standard:
        gaps.append("names, sizes and times of files are visible, their contents are not")
        gaps.append("load and processor of the machine are visible")
    else:
        gaps.append("files, network, processes: not restricted (level 'unsafe')")
    return tuple(gaps)


def _require_linux() -> None:
    if sys.platform != "linux":
        raise IsolationUnavailable(
            "worker processes", f"this is {platform.system()}", "Use the Linux container image."
        )


def _require_layers() -> None:
    if not seccomp_supported():
        raise IsolationUnavailable(
            "seccomp",
            f"this kernel on {platform.machine()} takes no filter that we have",
            "Workers need Linux with CONFIG_SECCOMP_FILTER on x86-64 or arm64.",
        )
    if landlock_version() is None:
        raise IsolationUnavailable("landlock", "the kernel does not offer it", LANDLOCK_REMEDY)
    _require_hidden_home()


def _require_hidden_home() -> None:
    """The data and the secret must not lie where workers read."""
    try:
        data = home()
    except DataError:
        return  # there is none, and so nothing to hide
    for folder in (*SYSTEM_PATHS, *interpreter_folders()):
        if data.is_relative_to(folder):
            raise IsolationUnavailable(
                "landlock",
                f"the data folder {data} lies in {folder}, which workers may read",
                f"Set {HOME_VARIABLE} to another folder.",
            )


def open_isolation(
    level: Level = "standard", *, program_folders: Sequence[str | Path] = ()
) -> ForkedIsolation:
    """The isolation of this machine, tested. Raises IsolationUnavailable; never falls back.

    `unsafe` keeps the limits and leaves files, network and processes open. Programs are imported
    from the installed packages and from `program_folders`, which workers cannot read.
    """
    _require_linux()
    if level == "standard":
        _require_layers()
    return ForkedIsolation(level, [str(Path(folder).resolve()) for folder in program_folders])
