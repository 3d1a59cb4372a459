"""Programs that the tests run inside isolated workers; imported by the fork server."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from agent_sandbox.isolation.protocol import Message
from agent_sandbox.isolation.system_calls import (
    CONDITIONAL,
    DENIED,
    FOR_NETWORK,
    FOR_PROCESSES,
    WITHOUT_EFFECT,
)

_NUMBERS = {**DENIED, **FOR_PROCESSES, **FOR_NETWORK, **WITHOUT_EFFECT, **CONDITIONAL}
_COLUMN = {"x86_64": 0, "aarch64": 1}[os.uname().machine]


def kernel(name: str | int, *arguments: int) -> int:
    """Make a system call behind Python's back; what the kernel answers. Raises OSError."""
    number = name
    if isinstance(name, str):
        number = _NUMBERS[name][_COLUMN]
        if number is None:
            raise PermissionError(f"this machine has no {name}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Candidate:
    """Runs any source, as a program that builds candidates does."""

    def echo(self, message: Message) -> Message:
        return Message(dict(message.values), dict(message.tensors))

    def run(self, message: Message) -> Message:
        """Execute `source`; what it leaves in `values` and `tensors` is the answer."""
        names: dict[str, Any] = {"kernel": kernel, "aim": message.values.get("aim")}
        exec(compile(message.values["source"], "candidate.py", "exec"), names)
        return Message(names.get("values", {}), names.get("tensors", {}))

    def attempt(self, message: Message) -> Message:
        """Execute `source`, which must fail with an OSError; whether it did."""
        try:
            self.run(message)
        except OSError as error:
            return Message({"refused": True, "errno": error.errno})
        return Message({"refused": False, "errno": 0})


class Broken:
    """A program that cannot be built."""

    def __init__(self) -> None:
        raise ValueError("no such thing")
