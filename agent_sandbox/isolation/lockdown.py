"""What a worker gives up before it sees a candidate, in this order, and cannot take back.

session, working folder, umask      it is killed as one, and stands nowhere
resource limits                     memory, files, processes, core dumps
user id (root only, where possible) an unused one
parent-death signal                 it ends with its server
no_new_privs, capabilities          it cannot become more than it is
Landlock                            files: reads the interpreter's, writes none
seccomp                             system calls: threads yes; processes, sockets, ... no
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import resource
import signal
import struct
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from agent_sandbox.isolation import kernel
from agent_sandbox.isolation.landlock import restrict_files
from agent_sandbox.isolation.seccomp import restrict_system_calls

_PACKAGES = ("lra_design", "tasks", "mechanisms", "agent_sandbox", "trainers", "leaderboards")
SYSTEM_PATHS = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/filesystems",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/dev/urandom",
    "/dev/random",
)
_WRITABLE = ("/dev/null", "/dev/zero", "/dev/full")
_MAX_DESCRIPTORS = 256
_CAPABILITY_VERSION = 0x20080522
_NUM_CAPABILITIES = 64


@dataclass(frozen=True, kw_only=True)
class Lockdown:
    """What is decided before the fork."""

    kernel_layers: bool
    """Landlock and seccomp; without them only the limits hold."""
    readable: tuple[str, ...]
    memory_bytes: int
    num_threads: int
    wall_seconds: float
    uid: int | None
    """An unused user id to change to."""
    server_pid: int


def interpreter_folders() -> tuple[str, ...]:
    """Where the interpreter, its libraries and the project's packages lie; resolved paths."""
    folders = {sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")}
    for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix):
        folders |= {f"{prefix}/lib", f"{prefix}/lib64"}
    for package in _PACKAGES:
        found = importlib.util.find_spec(package)
        folders |= set(found.submodule_search_locations or ()) if found else set()
    return tuple(sorted({str(Path(folder).resolve()) for folder in folders if folder}))


def lock_down(plan: Lockdown) -> None:
    """Lock this process down. Raises OSError when a layer cannot be put in place."""
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    _limit_resources(plan)
    _drop_bounding_set()
    if plan.uid is not None:
        become(plan.uid)
    kernel.process_control(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != plan.server_pid:
        raise ProcessLookupError("the fork server ended while a worker started")
    kernel.process_control(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    if plan.kernel_layers:
        restrict_files((*SYSTEM_PATHS, *plan.readable, "/proc/self"), _WRITABLE)
        restrict_system_calls(os.getpid())


def become(uid: int) -> None:
    """Change to the user and group id `uid`, which nobody has, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # Changing the user hides a process's own /proc/self from it, which torch reads.
    kernel.process_control(kernel.PR_SET_DUMPABLE, 1)


def _limit_resources(plan: Lockdown) -> None:
    cpu_seconds = int(plan.wall_seconds * plan.num_threads) + 10
    limits = {
        resource.RLIMIT_DATA: _data_bytes() + plan.memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _MAX_DESCRIPTORS,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CPU: cpu_seconds,  # second to the judge's clock, which also sees sleep
    }
    if plan.uid is not None:
        # Counted per user: of use only where the user has no other process.
        limits[resource.RLIMIT_NPROC] = plan.num_threads
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))


def _data_bytes() -> int:
    for line in Path("/proc/self/status").read_bytes().splitlines():
        if line.startswith(b"VmData:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status does not say VmData")


def _drop_bounding_set() -> None:
    """Before the user id changes, for afterwards the right to do so is gone."""
    for capability in range(_NUM_CAPABILITIES):
        with contextlib.suppress(OSError):  # only root may, and only root has what it bounds
            kernel.process_control(kernel.PR_CAPBSET_DROP, capability)


def _drop_capabilities() -> None:
    with contextlib.suppress(OSError):  # kernels before 4.3 have no ambient capabilities
        kernel.process_control(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    header = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION, 0), 8)
    nothing = ctypes.create_string_buffer(24)
    kernel.set_capabilities(ctypes.addressof(header), ctypes.addressof(nothing))
