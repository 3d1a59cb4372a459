"""Names for what the kernel refuses: an audit hook that reports an attempt the moment it is made.

It only diagnoses. It shares the candidate's process, so it can be misled; what it reports ends the
candidate, and what it misses the kernel has refused all the same. Opening a file for reading is
never an attempt: imports do it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lra_design.errors import FaultKind

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_HARMLESS_FILES = ("/dev/null", "/dev/zero", "/dev/full")

_EVENTS: dict[FaultKind, tuple[str, ...]] = {
    "process": (
        *("os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system"),
        *("os.startfile", "subprocess.Popen", "pty.spawn", "os.killpg", "os.kill"),
        *("ctypes.dlopen", "ctypes.dlsym", "ctypes.dlsym/handle", "ctypes.call_function"),
        *("ctypes.string_at", "ctypes.wstring_at", "ctypes.cdata"),
    ),
    "network": (
        *("socket.__new__", "socket.bind", "socket.connect", "socket.sendto", "socket.sendmsg"),
        *("socket.getaddrinfo", "socket.getnameinfo", "socket.gethostbyname"),
        *("socket.gethostbyaddr", "urllib.Request"),
    ),
    "filesystem": (
        *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink"),
        *("os.truncate", "os.chmod", "os.chown", "os.utime", "os.setxattr", "os.removexattr"),
        *("os.lockf", "shutil.rmtree", "shutil.move", "shutil.copyfile", "tempfile.mkstemp"),
        *("tempfile.mkdtemp", "sqlite3.connect"),
    ),
}
_KINDS = {event: kind for kind, events in _EVENTS.items() for event in events}


def arm(report: Callable[[FaultKind, str], None]) -> None:
    """From now on call `report(kind, detail)` at each attempt, which then fails. Not undone."""
    own_pid = os.getpid()

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        kind = _KINDS.get(event)
        if event == "open":
            kind = "filesystem" if _opens_for_writing(*arguments) else None
        if kind is None or _changes_nothing(event, arguments, own_pid):
            return
        detail = f"{event}({', '.join(str(argument)[:200] for argument in arguments[:2])})"
        report(kind, detail.encode(errors="backslashreplace").decode())
        raise PermissionError(f"not allowed here: {event}")

    sys.addaudithook(hook)


def _changes_nothing(event: str, arguments: tuple[Any, ...], own_pid: int) -> bool:
    """A signal to itself, or a folder that is there already: torch makes sure of its own so."""
    if event == "os.kill":
        return bool(arguments[0] == own_pid)
    return event == "os.mkdir" and Path(arguments[0]).is_dir()


def _opens_for_writing(path: object, mode: object, flags: object) -> bool:
    if isinstance(path, int) or path in _HARMLESS_FILES or not isinstance(flags, int):
        return False
    return bool(flags & _WRITING)
