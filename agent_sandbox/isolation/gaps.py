"""What a level cannot stop, by name and with the reason: one list for records and documentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lra_design.records import Level, Profile


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What decides which gaps there are."""

    level: Level
    profile: Profile
    own_users: bool
    """Each worker has an unused user id of its own."""
    as_root: bool
    """Workers keep user id 0, without its capabilities."""
    signals_scoped: bool
    """Landlock keeps signals inside (version 6 or later)."""
    cuda: bool
    own_network: bool = False
    """TCP in a network that holds nothing but a door to the judge."""


@dataclass(frozen=True)
class Gap:
    """One thing that is not stopped."""

    name: str
    reason: str
    there: Callable[[Circumstances], bool]

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


GAPS = (
    Gap(
        "files, network, processes",
        "not restricted (level 'unsafe')",
        lambda here: here.level == "unsafe",
    ),
    Gap(
        "memory limit",
        "best effort (RLIMIT_DATA for each process and a watchdog, no cgroup of its own)",
        lambda here: True,
    ),
    Gap("processor time", "limited by wall-clock time only", lambda here: True),
    Gap(
        "thread limit",
        "best effort (a watchdog counts every few milliseconds)",
        lambda here: not here.own_users,
    ),
    Gap(
        "names of files",
        "names, sizes and times of files are visible by stat, their contents are not",
        lambda here: here.level == "standard",
    ),
    Gap(
        "load of the machine",
        "load and processor are visible in /proc, and measurable by any clock",
        lambda here: here.level != "unsafe",
    ),
    Gap(
        "shared caches",
        "workers on one machine can signal to each other by timing its processor caches",
        lambda here: here.level != "unsafe",
    ),
    Gap(
        "kernel bugs",
        "workers share the machine's kernel; only a virtual machine would not",
        lambda here: here.level != "unsafe",
    ),
    Gap(
        "user id 0",
        "workers keep root's user id without its capabilities, since another user could not read "
        "the interpreter",
        lambda here: here.as_root,
    ),
    Gap(
        "disk limit",
        "best effort (a watchdog; a deleted file that is still open is not counted, one file "
        "cannot exceed the limit)",
        lambda here: here.profile == "train",
    ),
    Gap(
        "process limit",
        "best effort (a watchdog counts every few milliseconds)",
        lambda here: here.profile == "train" and not here.own_users,
    ),
    Gap(
        "signals to own children",
        "refused, since this Landlock could not keep them from strangers",
        lambda here: here.profile == "train" and not here.signals_scoped and not here.own_users,
    ),
    Gap(
        "processes of a killed fork server",
        "a process that a worker started outlives the fork server when that is killed from outside",
        lambda here: here.profile == "train" and here.level in ("standard", "unsafe"),
    ),
    Gap(
        "file locks",
        "readable files can be locked with flock, which compilers need",
        lambda here: here.profile == "train",
    ),
    Gap(
        "GPU memory",
        "not limited, and not known to be cleared between workers: the driver's",
        lambda here: here.cuda,
    ),
    Gap(
        "files in memory",
        "CUDA needs them; their pages count for the memory limit only while they are mapped",
        lambda here: here.cuda,
    ),
    Gap(
        "GPU driver",
        "its large ioctl interface is not filtered; prefer one card or MIG slice for a candidate",
        lambda here: here.cuda,
    ),
    Gap(
        "socket buffers",
        "what waits in sockets counts for no limit but the kernel's own",
        lambda here: here.own_network,
    ),
    Gap(
        "beyond a named host",
        "what a named host passes on is not seen; one address may serve many names",
        lambda here: here.own_network,
    ),
)


def gaps(here: Circumstances) -> tuple[str, ...]:
    """What is not stopped here, for the record."""
    return tuple(str(gap) for gap in GAPS if gap.there(here))
