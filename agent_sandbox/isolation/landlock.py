"""Landlock: which files this process may open from now on. https://docs.kernel.org/userspace-api/landlock.html

Every right that the kernel's version knows is taken away; some are given back for some paths.
TCP ports, abstract sockets and signals to processes outside are taken away where the version can.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable

from agent_sandbox.isolation.kernel import system_call
from agent_sandbox.isolation.reach import Access, Rule

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _CONTROL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _CONTROL_DEVICE
_READ = _READ_FILE | _READ_DIR
_WRITE = _READ | _WRITE_FILE | _TRUNCATE
# Never sockets, pipes, devices or symbolic links: they would lead out of an own folder.
_OWN = _WRITE | _EXECUTE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_FILE | _REFER
_RIGHTS: dict[Access, int] = {
    "read": _READ,
    "execute": _READ | _EXECUTE,
    "write": _WRITE,
    "device": _WRITE | _CONTROL_DEVICE,
    "own": _OWN,
}
# The number of file rights by version, from 1; those of later versions are unknown here.
_NUM_FILE_RIGHTS = (13, 14, 15, 15, 16, 16, 16)
_TCP_BIND_AND_CONNECT = 0b11  # from version 4
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
SIGNALS_SCOPED_FROM = 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def landlock_version() -> int | None:
    """The kernel's Landlock version, 1 or more; None when it has none or it is switched off."""
    try:
        return system_call(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    except OSError:
        return None


def restrict_files(rules: Iterable[Rule], *, own_network: bool = False) -> None:
    """Leave only what `rules` allow; TCP too in a network of its own.

    Paths that do not exist are passed over. Needs no_new_privs. Cannot be undone. Raises OSError.
    """
    version = landlock_version() or 0
    handled = (1 << _NUM_FILE_RIGHTS[min(version, len(_NUM_FILE_RIGHTS)) - 1]) - 1
    ruleset = _create_ruleset(version, handled, own_network)
    try:
        for rule in rules:
            _allow(ruleset, rule.path, _RIGHTS[rule.access] & handled)
        system_call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _create_ruleset(version: int, handled: int, own_network: bool) -> int:
    attributes = _Ruleset(
        handled,
        _TCP_BIND_AND_CONNECT if version >= 4 and not own_network else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if version >= SIGNALS_SCOPED_FROM else 0,
    )
    num_fields = 3 if version >= SIGNALS_SCOPED_FROM else 2 if version >= 4 else 1
    return system_call(_CREATE_RULESET, ctypes.addressof(attributes), 8 * num_fields, 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            rights &= _OF_FILES
        rule = _PathBeneath(rights, parent)
        system_call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.addressof(rule), 0)
    finally:
        os.close(parent)
