"""Tries, once per opening, whether the isolation really holds on this machine.

Version numbers and files under /proc mislead about what a kernel enforces, so a worker is started
that does what must fail, by the kernel alone (no audit hook), and a computation that must succeed.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agent_sandbox.isolation.own_network import NETWORK_REMEDY
from agent_sandbox.isolation.policy import Policy
from agent_sandbox.isolation.protocol import Message, Worker
from lra_design.errors import CandidateFault, IsolationUnavailable
from lra_design.records import Profile

_SECONDS = 30.0
LANDLOCK_REMEDY = (
    "Boot with Landlock switched on (Linux 5.13 or later; add `landlock` to the `lsm=` boot "
    "parameter), or run inside a container on a host that has it."
)
_SECCOMP_REMEDY = (
    "Use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or arm64, and no emulator such as gVisor "
    "or qemu-user between it and Python."
)
_WALL_REMEDY = (
    "Use level 'standard', and report this with the version of bubblewrap or the runtime."
)
_NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")


@dataclass(frozen=True)
class Canary:
    """One thing that must fail inside, and the layer that has failed when it does not."""

    name: str
    layer: str
    remedy: str
    attempt: Callable[[dict[str, Any]], object]
    profiles: tuple[Profile, ...] = ("validate", "train")
    needs_no_sockets: bool = False
    """Not for workers that may use TCP in a network of their own."""


def _read(path: str) -> bytes:
    return Path(path).read_bytes()


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def _connect(address: tuple[str, int] | str) -> None:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.connect(address)


def _execute() -> None:
    # Does not return when it succeeds; the judge then finds the process gone.
    os.execv(sys.executable, [sys.executable, "-c", "pass"])


def _same_namespaces(outside: dict[str, str]) -> None:
    """Fails with an OSError when the process sees processes, networks and queues of its own."""
    if any(_namespace(kind) == link for kind, link in outside.items()):
        return
    raise PermissionError


def _namespace(kind: str) -> str:
    return str(Path(f"/proc/self/ns/{kind}").readlink())


def _landlock(name: str, attempt: Callable[[dict[str, Any]], object]) -> Canary:
    return Canary(name, "landlock", LANDLOCK_REMEDY, attempt)


def _seccomp(name: str, attempt: Callable[[dict[str, Any]], object]) -> Canary:
    return Canary(name, "seccomp", _SECCOMP_REMEDY, attempt)


def _wall(name: str, attempt: Callable[[dict[str, Any]], object]) -> Canary:
    return Canary(name, "outer wall", _WALL_REMEDY, attempt)


def _network(name: str, attempt: Callable[[dict[str, Any]], object]) -> Canary:
    return Canary(name, "network namespace", NETWORK_REMEDY, attempt)


_CANARIES = (
    _landlock("read a file", lambda aim: _read(aim["planted"])),
    _landlock("write a file", lambda aim: Path(aim["new"]).write_bytes(b"")),
    _landlock(
        "list the judge in /proc", lambda aim: list(Path(f"/proc/{aim['judge']}/fd").iterdir())
    ),
    _landlock(
        "list the fork server in /proc",
        lambda aim: list(Path(f"/proc/{os.getppid()}/fd").iterdir()),
    ),
    replace(
        _seccomp("connect by TCP", lambda aim: _connect(tuple(aim["tcp"]))), needs_no_sockets=True
    ),
    _seccomp("connect by an abstract socket", lambda aim: _connect("\0" + aim["abstract"])),
    Canary("fork", "seccomp", _SECCOMP_REMEDY, lambda aim: _fork(), ("validate",)),
    _seccomp("signal the judge", lambda aim: os.kill(aim["judge"], 0)),
    _seccomp("signal the fork server", lambda aim: os.kill(os.getppid(), 0)),
    _seccomp(
        "change the judge's limits",
        lambda aim: resource.prlimit(aim["judge"], resource.RLIMIT_CORE),
    ),
    _seccomp(
        "make a datagram socket pair",
        lambda aim: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    ),
    Canary("execute", "seccomp", _SECCOMP_REMEDY, lambda aim: _execute(), ("validate",)),
)
_WALL_CANARIES = (
    _wall("read a file of the machine", lambda aim: _read(aim["planted"])),
    _wall("write a file of the machine", lambda aim: Path(aim["new"]).write_bytes(b"")),
    _wall("reach a port of the machine", lambda aim: _connect(tuple(aim["tcp"]))),
    _wall("reach an abstract socket", lambda aim: _connect("\0" + aim["abstract"])),
    _wall("share a namespace", lambda aim: _same_namespaces(aim["namespaces"])),
)
"""Tried by a worker without any other layer."""
_OWN_NETWORK_CANARIES = (
    _network("reach a port of the machine by TCP", lambda aim: _connect(tuple(aim["tcp"]))),
    _network("reach another machine", lambda aim: _connect(("192.0.2.1", 80))),
    _network("make a socket for UDP", lambda aim: socket.socket(type=socket.SOCK_DGRAM).close()),
    _network("share the network", lambda aim: _same_namespaces({"net": aim["namespaces"]["net"]})),
)
"""Tried by a worker that may use TCP in a network of its own."""


_ALL_CANARIES = (*_CANARIES, *_WALL_CANARIES, *_OWN_NETWORK_CANARIES)


class SelfTest:
    """The program that makes the attempts."""

    def attempt(self, message: Message) -> Message:
        """Try what `name` says at the targets in `aim`; whether that was `refused`."""
        canary = next(c for c in _ALL_CANARIES if c.name == message.values["name"])
        try:
            canary.attempt(message.values["aim"])
        except PermissionError:  # behind no outer wall, any other failure would be an accident
            return Message({"refused": True})
        except OSError:  # behind one, the target is not there at all
            return Message({"refused": message.values["walled"]})
        return Message({"refused": False})

    def ready(self, message: Message) -> Message:
        """Answer, and nothing else."""
        return Message()

    def compute(self, message: Message) -> Message:
        """The gradient of a small network's output with respect to its input, on `device`."""
        device = message.values["device"]
        x_BD = message.tensors["x"].to(device).requires_grad_()
        nn.Linear(x_BD.shape[-1], 5, device=device)(x_BD).square().sum().backward()
        assert x_BD.grad is not None
        return Message(tensors={"gradient": x_BD.grad})


@contextmanager
def _targets(folder: Path) -> Iterator[dict[str, Any]]:
    """A file planted in `folder`, a free path and two listeners, all open to the judge itself."""
    name = f"lra-design-{os.urandom(8).hex()}"
    planted, new = folder / f"{name}.planted", folder / f"{name}.new"
    mode = folder.stat().st_mode
    with (
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        planted.write_text("a secret")
        # Open to every user, so that a worker of another user id meets Landlock and not the modes.
        planted.chmod(0o644)
        folder.chmod(0o777)
        with suppress(OSError):  # where even the loopback is down, a refusal is still due
            tcp.bind(("127.0.0.1", 0))
            tcp.listen()
        abstract.bind("\0" + name)
        abstract.listen()
        try:
            yield {
                "planted": str(planted),
                "new": str(new),
                "judge": os.getpid(),
                "tcp": tcp.getsockname(),
                "abstract": name,
                "namespaces": {kind: _namespace(kind) for kind in _NAMESPACES},
            }
        finally:
            folder.chmod(mode)
            planted.unlink()
            new.unlink(missing_ok=True)


def run_self_test(worker: Worker, policy: Policy, folder: Path) -> tuple[Canary, ...]:
    """Raise IsolationUnavailable unless every attempt fails in `worker`, a running `SelfTest`.

    `folder`: one that an outer wall shows, so that only the inner layers hide its contents.
    """
    run_innocent(worker, policy)
    canaries = [canary for canary in _CANARIES if policy.profile in canary.profiles]
    walled = policy.level in ("strong", "container")
    if not policy.own_network:
        return _try(worker, canaries, folder, walled=walled)
    kept = [canary for canary in canaries if not canary.needs_no_sockets]
    tried = _try(worker, kept, folder, walled=walled)
    return tried + _try(worker, _OWN_NETWORK_CANARIES, folder, walled=True)


def run_wall_test(worker: Worker, folder: Path) -> tuple[Canary, ...]:
    """The same for an outer wall alone, which must hide `folder` whole."""
    return _try(worker, _WALL_CANARIES, folder, walled=True)


def _try(
    worker: Worker, canaries: Iterable[Canary], folder: Path, *, walled: bool
) -> tuple[Canary, ...]:
    tried = []
    with _targets(folder) as aim:
        for canary in canaries:
            asked = {"name": canary.name, "aim": aim, "walled": walled}
            try:
                reply = worker.call("attempt", asked, seconds=_SECONDS)
                refused = reply.values.get("refused") is True
            except CandidateFault:
                refused = False
            if not refused:
                raise IsolationUnavailable(
                    canary.layer, f"a worker was able to {canary.name}", canary.remedy
                )
            tried.append(canary)
    return tuple(tried)


def run_innocent(worker: Worker, policy: Policy) -> None:
    """Raise IsolationUnavailable unless an innocent computation works in `worker`."""
    asked = {"device": "cuda" if policy.card else "cpu"}
    try:
        reply = worker.call("compute", asked, {"x": torch.ones(3, 7)}, seconds=_SECONDS)
        worked = reply.tensors["gradient"].shape == (3, 7)
    except (CandidateFault, KeyError) as error:
        found = f"an innocent computation failed inside: {error}"
    else:
        found = "an innocent computation gave a wrong shape"
        if worked:
            return
    raise IsolationUnavailable("worker", found, "Report this with your platform's name.")
