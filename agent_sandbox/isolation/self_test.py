"""Tries, once per opening, whether the isolation really holds on this machine.

Version numbers and files under /proc mislead about what a kernel enforces, so a worker is started
that does what must fail, by the kernel alone (no audit hook), and a computation that must succeed.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agent_sandbox.isolation.protocol import Message, Worker
from lra_design.errors import CandidateFault, IsolationUnavailable

_SECONDS = 30.0
LANDLOCK_REMEDY = (
    "Boot with Landlock switched on (Linux 5.13 or later; add `landlock` to the `lsm=` boot "
    "parameter), or run inside a container on a host that has it."
)
_SECCOMP_REMEDY = (
    "Use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or arm64, and no emulator such as gVisor "
    "or qemu-user between it and Python."
)


@dataclass(frozen=True)
class _Canary:
    """One thing that must fail inside, and the layer that has failed when it does not."""

    layer: str
    remedy: str
    attempt: Callable[[dict[str, Any]], object]


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


_CANARIES: dict[str, _Canary] = {
    "read a file": _Canary("landlock", LANDLOCK_REMEDY, lambda aim: _read(aim["planted"])),
    "write a file": _Canary(
        "landlock", LANDLOCK_REMEDY, lambda aim: Path(aim["new"]).write_bytes(b"")
    ),
    "list the judge in /proc": _Canary(
        "landlock", LANDLOCK_REMEDY, lambda aim: list(Path(f"/proc/{aim['judge']}/fd").iterdir())
    ),
    "connect by TCP": _Canary("seccomp", _SECCOMP_REMEDY, lambda aim: _connect(tuple(aim["tcp"]))),
    "connect by an abstract socket": _Canary(
        "seccomp", _SECCOMP_REMEDY, lambda aim: _connect("\0" + aim["abstract"])
    ),
    "fork": _Canary("seccomp", _SECCOMP_REMEDY, lambda aim: _fork()),
    "signal the judge": _Canary("seccomp", _SECCOMP_REMEDY, lambda aim: os.kill(aim["judge"], 0)),
    "change the judge's limits": _Canary(
        "seccomp",
        _SECCOMP_REMEDY,
        lambda aim: resource.prlimit(aim["judge"], resource.RLIMIT_CORE),
    ),
    "make a datagram socket pair": _Canary(
        "seccomp",
        _SECCOMP_REMEDY,
        lambda aim: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
    ),
    "execute": _Canary("seccomp", _SECCOMP_REMEDY, lambda aim: _execute()),
}


class SelfTest:
    """The program that makes the attempts."""

    def attempt(self, message: Message) -> Message:
        """Try what `name` says at the targets in `aim`; whether that was `refused`."""
        try:
            _CANARIES[message.values["name"]].attempt(message.values["aim"])
        except PermissionError:  # any other failure would be an accident, not a refusal
            return Message({"refused": True})
        return Message({"refused": False})

    def compute(self, message: Message) -> Message:
        """The gradient of a small network's output with respect to its input."""
        x_BD = message.tensors["x"].requires_grad_()
        nn.Linear(x_BD.shape[-1], 5)(x_BD).square().sum().backward()
        assert x_BD.grad is not None
        return Message(tensors={"gradient": x_BD.grad})


@contextmanager
def _targets() -> Iterator[dict[str, Any]]:
    """A planted file, a free path and two listeners, all of which the judge itself can reach."""
    name = f"lra-design-{os.urandom(8).hex()}"
    with (
        tempfile.TemporaryDirectory(prefix="lra-design-self-test-") as folder,
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        # Open to every user, so that a worker of another user id meets Landlock and not the modes.
        Path(folder).chmod(0o777)
        planted = Path(folder, "planted")
        planted.write_text("a secret")
        planted.chmod(0o644)
        with suppress(OSError):  # where even the loopback is down, a refusal is still due
            tcp.bind(("127.0.0.1", 0))
            tcp.listen()
        abstract.bind("\0" + name)
        abstract.listen()
        yield {
            "planted": str(planted),
            "new": str(Path(folder, "new")),
            "judge": os.getpid(),
            "tcp": tcp.getsockname(),
            "abstract": name,
        }


def run_self_test(worker: Worker) -> None:
    """Raise IsolationUnavailable unless every attempt fails in `worker`, a running `SelfTest`."""
    run_innocent(worker)
    with _targets() as aim:
        for name, canary in _CANARIES.items():
            try:
                reply = worker.call("attempt", {"name": name, "aim": aim}, seconds=_SECONDS)
                refused = reply.values.get("refused") is True
            except CandidateFault:
                refused = False
            if not refused:
                raise IsolationUnavailable(
                    canary.layer, f"a worker was able to {name}", canary.remedy
                )


def run_innocent(worker: Worker) -> None:
    """Raise IsolationUnavailable unless an innocent computation works in `worker`."""
    try:
        reply = worker.call("compute", tensors={"x": torch.ones(3, 7)}, seconds=_SECONDS)
        worked = reply.tensors["gradient"].shape == (3, 7)
    except (CandidateFault, KeyError) as error:
        found = f"an innocent computation failed inside: {error}"
    else:
        found = "an innocent computation gave a wrong shape"
        if worked:
            return
    raise IsolationUnavailable("worker", found, "Report this with your platform's name.")
