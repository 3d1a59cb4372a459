"""A network of the workers' own: no interface but loopback, and one door that leads to the judge.

The door is a listening socket that is made inside. A socket stays in the network that it was made
in, whoever holds it: the judge, who is handed this one, answers connections from inside, and
nothing of the machine's network can be named there (network_namespaces(7)).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

from agent_sandbox.isolation.kernel import CLONE_NEWNET, CLONE_NEWUSER, unshare
from lra_design.errors import IsolationUnavailable

DOOR = ("127.0.0.1", 3128)
"""Where workers find it: always the same address, since the network is always a new one."""
NETWORK_REMEDY = (
    "A network namespace takes root, or user namespaces. On Ubuntu 23.10 or later: "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`. In a container: start it with "
    "`--cap-add SYS_ADMIN`. Or use `--isolation container`. Or let a "
    "program reach what it likes, outside all walls and with your rights: --agent-network-unwalled."
)
_BACKLOG = 64
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1
_INTERFACE = struct.Struct("16sh22x")
"""`struct ifreq` with its flags (netdevice(7))."""


def enter_own_network() -> None:
    """Take this process, which has one thread, out of the machine's network. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        unshare(CLONE_NEWNET)
    else:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    _raise_loopback()


def require_own_network() -> None:
    """Raise IsolationUnavailable unless a process of this user gets a network; found by trying."""
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWUSER | CLONE_NEWNET
    attempt = (
        "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True); "
        f"sys.exit(ctypes.get_errno() if libc.unshare({flags}) else 0)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", attempt], check=False)
    if done.returncode != 0:
        found = f"the kernel refuses one: {os.strerror(done.returncode)}"
        raise IsolationUnavailable("network namespace", found, NETWORK_REMEDY)


def open_door() -> socket.socket:
    """The listening socket, in the network of this process. Raises OSError."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.bind(DOOR)
        door.listen(_BACKLOG)
    except BaseException:
        door.close()
        raise
    return door


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as any_socket:
        asked = _INTERFACE.pack(b"lo", 0)
        name, flags = _INTERFACE.unpack(fcntl.ioctl(any_socket, _GET_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_FLAGS, _INTERFACE.pack(name, flags | _UP))
