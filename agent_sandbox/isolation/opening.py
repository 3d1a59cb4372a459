"""Opening the isolation that a caller names: its layers are required, tried, and written down."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from agent_sandbox.isolation.bubblewrap import Bubblewrap
from agent_sandbox.isolation.cards import Card, device_number
from agent_sandbox.isolation.container import Container
from agent_sandbox.isolation.cuda import CudaReach, cuda_reach
from agent_sandbox.isolation.folders import Folders
from agent_sandbox.isolation.forked import ForkedIsolation
from agent_sandbox.isolation.landlock import landlock_version
from agent_sandbox.isolation.own_network import NETWORK_REMEDY, require_own_network
from agent_sandbox.isolation.policy import Policy
from agent_sandbox.isolation.reach import Rule, file_rules, mounted_paths
from agent_sandbox.isolation.seccomp import seccomp_supported
from agent_sandbox.isolation.self_test import LANDLOCK_REMEDY
from agent_sandbox.isolation.wall import Inside, NoWall, Wall
from lra_design.errors import DataError, IsolationUnavailable
from lra_design.home import HOME_VARIABLE, home
from lra_design.records import Level, Profile


def open_isolation(
    level: Level = "standard",
    *,
    profile: Profile = "validate",
    program_folders: Sequence[str | Path] = (),
    readable: Sequence[str | Path] = (),
    scratch: Path | None = None,
    card: Card | None = None,
    own_network: bool = False,
) -> ForkedIsolation:
    """The isolation of this machine, tested. Raises IsolationUnavailable; never falls back.

    `standard` needs nothing installed, `strong` bubblewrap, `container` Podman or Docker; `unsafe`
    keeps the limits and leaves files, network and processes open. Programs are imported from the
    installed packages and from `program_folders`, which workers cannot read; `readable` they can.
    `scratch`: a folder that a worker of profile `train` may be given. `card`: the GPU that workers
    compute on, the only one they can reach. `own_network`: workers may use TCP, in a network that
    holds nothing but a door to the judge; not in level `unsafe`.
    """
    _require_linux()
    if own_network:
        require_network(level)
    if level != "unsafe":
        _require_layers()
    gpu = _require_cuda(card) if card else None
    rules = file_rules(profile, [_resolved(path) for path in readable], gpu)
    if level != "unsafe":
        _require_hidden_home([*rules, *([Rule(_resolved(scratch), "own")] if scratch else [])])
    policy = Policy(level=level, profile=profile, rules=rules, card=card, own_network=own_network)
    programs = [_resolved(folder) for folder in program_folders]

    def put_up(folders: Folders) -> Wall:
        writable = [str(folders.own), *([_resolved(scratch)] if scratch else [])]
        inside = Inside(
            readable=mounted_paths(rules, [str(folders.shared), *programs]),
            writable=tuple(writable) if profile == "train" else (),
            devices=gpu.devices if gpu else (),
        )
        if level == "strong":
            return Bubblewrap(inside)
        return Container(inside) if level == "container" else NoWall()

    return ForkedIsolation(policy, put_up, programs)


def require_network(level: Level) -> None:
    """Raise IsolationUnavailable unless workers of `level` may be given a network of their own."""
    if level == "unsafe":
        found = "level 'unsafe' has no walls around it"
        raise IsolationUnavailable("network namespace", found, NETWORK_REMEDY)
    if level == "standard":  # the outer walls of the others bring theirs
        require_own_network()


def _resolved(path: str | Path) -> str:
    return str(Path(path).resolve())


def _require_linux() -> None:
    if sys.platform != "linux":
        raise IsolationUnavailable(
            "worker processes", f"this is {platform.system()}", "Use the Linux container image."
        )


def require_seccomp() -> None:
    """Raise IsolationUnavailable unless the kernel takes a filter that we have."""
    if not seccomp_supported():
        raise IsolationUnavailable(
            "seccomp",
            f"this kernel on {platform.machine()} takes no filter that we have",
            "Workers need Linux with CONFIG_SECCOMP_FILTER on x86-64 or arm64.",
        )


def require_landlock() -> None:
    """Raise IsolationUnavailable unless the kernel offers Landlock."""
    if landlock_version() is None:
        raise IsolationUnavailable("landlock", "the kernel does not offer it", LANDLOCK_REMEDY)


def _require_layers() -> None:
    require_seccomp()
    require_landlock()


def _require_cuda(card: Card) -> CudaReach:
    number = device_number(card)
    reach = cuda_reach(gpus=None if number is None else [number])
    if reach is None:
        raise IsolationUnavailable(
            "cuda",
            f"{card.name} has no device in /dev",
            "Install NVIDIA's driver, or compute on the processor.",
        )
    if "/dev/nvidia-uvm" not in reach.devices and "/dev/dxg" not in reach.devices:
        raise IsolationUnavailable(
            "cuda",
            "there is no /dev/nvidia-uvm, which a worker may not make",
            "Run `nvidia-modprobe -u -c 0` once, or compute on the processor.",
        )
    return reach


def _require_hidden_home(rules: Sequence[Rule]) -> None:
    """The data and the secret must not lie where workers read."""
    try:
        data = home()
    except DataError:
        return  # there is none, and so nothing to hide
    for rule in rules:
        if data.is_relative_to(rule.path):
            raise IsolationUnavailable(
                "landlock",
                f"the data folder {data} lies in {rule.path}, which workers may read",
                f"Set {HOME_VARIABLE} to another folder.",
            )
