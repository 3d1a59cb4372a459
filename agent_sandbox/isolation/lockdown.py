"""What a worker gives up before it sees a candidate, in this order, and cannot take back.

session, umask                      it is killed as one
resource limits                     memory, files, processes, core dumps
user id (root only, where possible) an unused one
working folder                      nowhere; profile `train`: its scratch folder
parent-death signal                 it ends with its server
no_new_privs, capabilities          it cannot become more than it is
Landlock                            files: reads the interpreter's, writes at most its own
seccomp                             system calls: threads yes; sockets, mounts, ... no
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import os
import resource
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_sandbox.isolation import kernel
from agent_sandbox.isolation.landlock import (
    SIGNALS_SCOPED_FROM,
    landlock_version,
    restrict_files,
)
from agent_sandbox.isolation.reach import Rule
from agent_sandbox.isolation.seccomp import restrict_system_calls
from lra_design.records import Limits, Profile

_MAX_DESCRIPTORS = 256
_SPARE_TASKS = 256
"""What the user's other programs may start meanwhile without a worker being refused for it."""
_CAPABILITY_VERSION = 0x20080522
_NUM_CAPABILITIES = 64


@dataclass(frozen=True, kw_only=True)
class Lockdown:
    """What the judge decides for one worker. Crosses to the fork server as JSON."""

    kernel_layers: bool
    """Landlock and seccomp; without them only the limits hold."""
    profile: Profile
    rules: tuple[Rule, ...]
    scratch: str | None
    """The worker's own folder, in profile `train`."""
    limits: Limits
    card: str | None
    """UUID of the GPU that it computes on."""
    uid: int | None
    """An unused user id to change to."""
    own_network: bool = False
    """It may use TCP in the network that its server is in, which holds nothing."""

    def to_values(self) -> dict[str, Any]:
        """This as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Lockdown:
        """The reverse of `to_values`."""
        rules = tuple(Rule(**rule) for rule in values["rules"])
        return cls(**{**values, "rules": rules, "limits": Limits(**values["limits"])})


def lock_down(plan: Lockdown, server_pid: int) -> None:
    """Lock this process down. Raises OSError when a layer cannot be put in place."""
    os.setsid()
    os.umask(0o077)
    _limit_resources(plan)
    _drop_bounding_set()
    if plan.uid is not None:
        become(plan.uid)
    os.chdir(plan.scratch or "/")
    kernel.process_control(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server_pid:
        raise ProcessLookupError("the fork server ended while a worker started")
    kernel.process_control(kernel.PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    if plan.kernel_layers:
        own = [Rule(plan.scratch, "own")] if plan.scratch else []
        restrict_files([*plan.rules, *own], own_network=plan.own_network)
        restrict_system_calls(
            os.getpid(),
            plan.profile,
            signals=may_signal(plan),
            cuda=plan.card is not None,
            own_network=plan.own_network,
        )


def may_signal(plan: Lockdown) -> bool:
    """Its signals reach its own processes only: Landlock scopes them, or the user id is its own."""
    scoped = (landlock_version() or 0) >= SIGNALS_SCOPED_FROM or plan.uid is not None
    return plan.profile == "train" and scoped


def become(uid: int) -> None:
    """Change to the user and group id `uid`, which nobody has, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # Changing the user hides a process's own /proc/self from it, which torch reads.
    kernel.process_control(kernel.PR_SET_DUMPABLE, 1)


def _limit_resources(plan: Lockdown) -> None:
    train, limits = plan.profile == "train", plan.limits
    # Second to the judge's clock, which also sees sleep.
    processor_seconds = int(limits.wall_seconds * limits.num_threads) + 10
    values = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: limits.disk_bytes if train else 0,
        resource.RLIMIT_NOFILE: _MAX_DESCRIPTORS,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_CPU: processor_seconds,
    }
    if plan.card is None:  # CUDA maps and pins far more than it uses
        values[resource.RLIMIT_DATA] = _data_bytes() + limits.memory_bytes
        values[resource.RLIMIT_MEMLOCK] = 0
    num_tasks = _max_tasks(plan)
    if num_tasks is not None:
        values[resource.RLIMIT_NPROC] = num_tasks
    for limit, value in values.items():
        _, hard = resource.getrlimit(limit)
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (allowed, allowed))


def _max_tasks(plan: Lockdown) -> int | None:
    """Counted per user: exact where the user has no other process, else a stop for bombs only."""
    train = plan.profile == "train"
    if plan.uid is not None:
        return plan.limits.num_processes if train else plan.limits.num_threads
    return _num_tasks_visible() + plan.limits.num_processes + _SPARE_TASKS if train else None


def _num_tasks_visible() -> int:
    tasks = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile
            tasks += len(os.listdir(process / "task"))  # noqa: PTH208
    return tasks


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
