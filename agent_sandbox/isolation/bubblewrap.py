"""The outer wall of level `strong`: namespaces made by bubblewrap (https://github.com/containers/bubblewrap).

Inside there is no network, no process of the machine, and of its files only what is bound here,
read-only. Nothing is writable but the folder of profile `train`, so no tmpfs needs a size.

An ordinary user gets a user namespace. Root gets none: with one, its user id 0 would still own
/proc/sys. It keeps the rights to change to unused user ids, which every worker does, and loses all
others. bubblewrap's own --die-with-parent is not used: it follows the judge's thread, not the
judge; the fork server watches the judge itself, and the first process is killed by the judge.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent_sandbox.isolation.user import UNUSED_UID
from agent_sandbox.isolation.wall import Inside
from lra_design.errors import IsolationUnavailable

_PROBE_SECONDS = 20.0
_INSTALL = "Install it, for example `sudo apt install bubblewrap`."
_ALLOW = (
    "User namespaces are not allowed to this user. On Ubuntu 23.10 or later: "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`. In a container: start it with "
    "`--security-opt seccomp=unconfined --security-opt systempaths=unconfined` (Podman: "
    "`unmask=ALL`), as another user than root. Or use level 'standard'."
)
_OF_USER = ("--unshare-all", "--unshare-user", "--uid", str(UNUSED_UID), "--gid", str(UNUSED_UID))
_OF_ROOT = (
    *("--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
    *("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    *("--cap-add", "CAP_SETPCAP", "--cap-add", "CAP_KILL"),
)


class Bubblewrap:
    """Starts the fork server in namespaces of its own. Implements `wall.Wall`."""

    own_namespace = True
    inherits = True
    uid = None

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._program = shutil.which("bwrap") or "bwrap"

    def require(self) -> None:
        """See `Wall.require`."""
        if not Path(self._program).exists():
            raise IsolationUnavailable("bubblewrap", "there is no program `bwrap`", _INSTALL)
        probe = [self._program, *self._namespaces(), "--ro-bind", "/", "/", "--dev", "/dev"]
        done = subprocess.run(
            [*probe, "--proc", "/proc", "--", "true"],
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            found = f"`bwrap` fails: {done.stderr.strip()[-300:]}"
            raise IsolationUnavailable("user namespaces", found, _ALLOW)

    def _namespaces(self) -> list[str]:
        flags = list(_OF_ROOT if os.geteuid() == 0 else _OF_USER)
        if os.geteuid() != 0:
            flags += ["--cap-drop", "ALL"]
            if "--disable-userns" in _help(self._program):
                flags.append("--disable-userns")
        return [*flags, "--hostname", "sandbox", "--new-session"]

    def command(self, inner: Sequence[str], environment: Mapping[str, str]) -> list[str]:
        """See `Wall.command`."""
        settings = [word for pair in environment.items() for word in ("--setenv", *pair)]
        binds = [word for bind in self._binds() for word in bind]
        return [self._program, *self._namespaces(), "--clearenv", *settings, *binds, "--", *inner]

    def _binds(self) -> Iterator[tuple[str, ...]]:
        shown = (*self._inside.readable, *self._inside.writable)
        yield "--proc", "/proc"
        yield "--dev", "/dev"
        for folder in sorted({str(parent) for path in shown for parent in Path(path).parents}):
            if folder != "/":
                yield "--perms", "0755", "--dir", folder  # bwrap's own would be closed to others
        for path in self._inside.readable:
            yield "--ro-bind", path, path
        for path in self._inside.devices:
            yield "--dev-bind", path, path
        yield "--remount-ro", "/dev"
        for path in self._inside.writable:
            yield "--bind", path, path
        yield "--remount-ro", "/"

    def environment(self, inner: Mapping[str, str]) -> dict[str, str]:
        """Empty: bwrap's first process shows its own environment inside, whatever --clearenv."""
        return {}


@functools.cache
def _help(program: str) -> str:
    return subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout
