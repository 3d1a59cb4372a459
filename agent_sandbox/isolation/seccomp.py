"""The system-call filter of a worker: threads, memory and files yes; processes and networks no.

Profile `train` may also start processes and programs, all of which stay under the same filter. With
a card there are two more ways to memory, since CUDA needs them and RLIMIT_DATA is not set there. In
a network of the workers' own there is TCP, and nothing else: a socket of any other kind could name
what lies outside of it (paths of Unix sockets, in level `standard`) or load a kernel module.

A classic BPF program (https://docs.kernel.org/userspace-api/seccomp_filter.html), assembled here
for x86-64 and arm64. It first checks the architecture, so that no call comes in by another table.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable

from agent_sandbox.isolation.kernel import system_call
from agent_sandbox.isolation.system_calls import (
    COMMON_ALLOWED,
    COMMON_WITHOUT_EFFECT,
    CONDITIONAL,
    DENIED,
    FIRST_COMMON,
    FOR_NETWORK,
    FOR_PROCESSES,
    WITHOUT_EFFECT,
    Numbers,
)
from lra_design.records import Profile

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_AT_LEAST = 0x15, 0x35
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_X32_BIT = 0x40000000
_SET_MODE_FILTER, _TSYNC = 1, 1

# Machine: (column in the tables, audit architecture, number of seccomp(2)).
_MACHINES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}

_CLONE_PARENT, _CLONE_THREAD = 0x00008000, 0x00010000
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_AF_INET, _AF_INET6, _IPPROTO_TCP = 2, 10, 6
_SOCKET_OPTIONS = {
    1: (2, 3, 4, 7, 8, 9, 10, 13, 15, 20, 21),
    _IPPROTO_TCP: (1, 2, 3, 4, 5, 6, 12, 18),
    41: (26,),
}
"""SOL_SOCKET: REUSEADDR, TYPE, ERROR, SNDBUF, RCVBUF, KEEPALIVE, OOBINLINE, LINGER, REUSEPORT,
RCVTIMEO, SNDTIMEO; TCP: NODELAY, MAXSEG, CORK, KEEPIDLE, KEEPINTVL, KEEPCNT, QUICKACK,
USER_TIMEOUT; IPv6: V6ONLY. No filters, no other protocols above TCP."""
_MAP_SHARED_ANONYMOUS = 0x21
_MAP_GROWSDOWN, _MAP_HUGETLB = 0x100, 0x40000
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000
_IOCTLS = (0x5412, 0x541C, 0x8901, 0x8902, 0x5452)
"""TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP, FIOASYNC: input for others, signals to others."""
_FCNTLS = (8, 10, 15, 1024, 1026, 1031)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE, F_NOTIFY, F_SETPIPE_SZ (unlimited memory)."""
_PRCTLS = (1, 22, 35, 0x59616D61)
"""PR_SET_PDEATHSIG, PR_SET_SECCOMP, PR_SET_MM, PR_SET_PTRACER."""


def seccomp_supported() -> bool:
    """There is a table for this machine and the kernel takes filters."""
    if platform.machine() not in _MACHINES:
        return False
    number = _MACHINES[platform.machine()][2]
    try:
        system_call(number, _SET_MODE_FILTER, 0, 0)  # a null program: EFAULT where filters exist
    except OSError as error:
        return error.errno == errno.EFAULT
    return True


def restrict_system_calls(
    pid: int, profile: Profile, *, signals: bool, cuda: bool, own_network: bool
) -> None:
    """Put this process, whose id is `pid`, and all that it starts under the filter.

    `signals`: it may signal others, because something else keeps it from signalling strangers.
    `cuda`: it computes on a card. `own_network`: it may use TCP there. Raises OSError.
    """
    lines = assemble(
        platform.machine(), pid, profile, signals=signals, cuda=cuda, own_network=own_network
    )
    program = b"".join(struct.pack("<HBBI", *line) for line in lines)
    code = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    header = ctypes.create_string_buffer(head, len(head))
    number = _MACHINES[platform.machine()][2]
    system_call(number, _SET_MODE_FILTER, _TSYNC, ctypes.addressof(header))


def assemble(
    machine: str,
    pid: int,
    profile: Profile = "validate",
    *,
    signals: bool = False,
    cuda: bool = False,
    own_network: bool = False,
) -> list[Instruction]:
    """The filter for `machine` (`x86_64` or `aarch64`) and the process `pid`."""
    column, architecture, _ = _MACHINES[machine]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        lines += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    denied = {
        **DENIED,
        **({} if profile == "train" else FOR_PROCESSES),
        **({} if own_network else FOR_NETWORK),
    }
    lines += _fail_each(_numbers(denied, column), errno.EPERM)
    lines += _fail_each(_numbers(WITHOUT_EFFECT, column), 0)
    blocks = _conditional_blocks(pid, profile, signals)
    blocks |= (_cuda_blocks() if cuda else {}) | (_network_blocks() if own_network else {})
    for name, block in blocks.items():
        number = CONDITIONAL[name][column]
        if number is not None:
            lines += [(_IF_EQUAL, 0, len(block), number), *block]
    return [*lines, *_common_calls(), (_RETURN, 0, 0, _ALLOW)]


def _numbers(table: Numbers, column: int) -> list[int]:
    return [row[column] for row in table.values() if row[column] is not None]  # type: ignore[misc]


def _fail_each(numbers: Iterable[int], code: int) -> list[Instruction]:
    return [
        line
        for number in numbers
        for line in ((_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL | code))
    ]


def _common_calls() -> list[Instruction]:
    """An allow list where the numbers are the newest: a later kernel must not widen the hole."""
    allowed = [
        line
        for number in COMMON_ALLOWED.values()
        for line in ((_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW))
    ]
    refused = _fail_each(COMMON_WITHOUT_EFFECT.values(), 0)
    refused.append((_RETURN, 0, 0, _FAIL | errno.ENOSYS))
    return [(_IF_AT_LEAST, 0, len(allowed) + len(refused), FIRST_COMMON), *allowed, *refused]


def _conditional_blocks(pid: int, profile: Profile, signals: bool) -> dict[str, list[Instruction]]:
    """What decides about each call that depends on its arguments. Every block ends the program."""
    thread_only = [*_kept_bits(0, _CLONE_THREAD | _CLONE_NAMESPACES), *_allow_equal(_CLONE_THREAD)]
    no_namespace = [*_kept_bits(0, _CLONE_PARENT | _CLONE_NAMESPACES), *_allow_equal(0)]
    signal: list[Instruction] = [(_RETURN, 0, 0, _ALLOW)]
    if not signals:
        signal = [_low(0), *_allow_equal(pid)]
    return {
        "clone": no_namespace if profile == "train" else thread_only,
        "kill": signal,
        "tgkill": signal,
        "prlimit64": [_low(0), *_allow_equal(0, pid)],
        "sched_setaffinity": [_low(0), *_allow_equal(0, pid)],
        "socketpair": [
            _low(0),
            (_IF_EQUAL, 1, 0, _AF_UNIX),
            (_RETURN, 0, 0, _FAIL | errno.EPERM),
            *_kept_bits(1, _SOCK_TYPE_MASK),
            *_allow_equal(_SOCK_STREAM),
        ],
        # An address re-aims a socket pair. The pointer has 64 bits.
        "sendto": [
            (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * 4 + 4),
            (_IF_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _FAIL | errno.EPERM),
            _low(4),
            *_allow_equal(0),
        ],
        "ioctl": [_low(1), *_deny_equal(*_IOCTLS)],
        "fcntl": [_low(1), *_deny_equal(*_FCNTLS)],
        "prctl": [_low(0), *_deny_equal(*_PRCTLS)],
        # Shared anonymous, stack-like and huge pages are outside RLIMIT_DATA.
        "mmap": [
            *_kept_bits(3, _MAP_SHARED_ANONYMOUS),
            (_IF_EQUAL, 0, 1, _MAP_SHARED_ANONYMOUS),
            (_RETURN, 0, 0, _FAIL | errno.EPERM),
            *_kept_bits(3, _MAP_GROWSDOWN | _MAP_HUGETLB),
            *_allow_equal(0),
        ],
        # Landlock before version 3 lets files be truncated by opening them for reading.
        "open": [*_kept_bits(1, _O_ACCMODE | _O_TRUNC), *_deny_equal(_O_TRUNC)],
        "openat": [*_kept_bits(2, _O_ACCMODE | _O_TRUNC), *_deny_equal(_O_TRUNC)],
        "memfd_create": [(_RETURN, 0, 0, _FAIL | errno.ENOSYS)],
        "socket": [(_RETURN, 0, 0, _FAIL | errno.EPERM)],
        "setsockopt": [(_RETURN, 0, 0, _FAIL | errno.EPERM)],
    }


def _cuda_blocks() -> dict[str, list[Instruction]]:
    """What a worker with a card may do besides.

    Without `memfd_create` cuInit fails with 304 (driver 570, https://github.com/NVIDIA/OpenShell,
    issue 1696). Shared anonymous pages are what the watchdog counts of a process.
    """
    return {
        "mmap": [*_kept_bits(3, _MAP_GROWSDOWN | _MAP_HUGETLB), *_allow_equal(0)],
        "memfd_create": [(_RETURN, 0, 0, _ALLOW)],
    }


def _network_blocks() -> dict[str, list[Instruction]]:
    """TCP over IPv4 and IPv6, and the options that its clients set; the others are not known."""
    options: list[Instruction] = [_low(1)]
    for level, names in _SOCKET_OPTIONS.items():
        known = [_low(2), *_allow_equal(*names, otherwise=errno.ENOPROTOOPT)]
        options += [(_IF_EQUAL, 0, len(known), level), *known]
    return {
        "socket": [
            *_require_equal(0, _AF_INET, _AF_INET6),
            *_require_equal(2, 0, _IPPROTO_TCP),
            *_kept_bits(1, _SOCK_TYPE_MASK),
            *_allow_equal(_SOCK_STREAM),
        ],
        "setsockopt": [*options, (_RETURN, 0, 0, _FAIL | errno.ENOPROTOOPT)],
    }


def _low(argument: int) -> Instruction:
    """Load the low half of an argument, which is all of it where the kernel takes an int."""
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument)


def _kept_bits(argument: int, kept: int) -> list[Instruction]:
    return [_low(argument), (_AND, 0, 0, kept)]


def _require_equal(argument: int, *values: int) -> list[Instruction]:
    """Go on behind these lines when the argument is one of `values`; else fail."""
    tests = [(_IF_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_low(argument), *tests, (_RETURN, 0, 0, _FAIL | errno.EPERM)]


def _allow_equal(*values: int, otherwise: int = errno.EPERM) -> list[Instruction]:
    lines: list[Instruction] = []
    for value in values:
        lines += [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _ALLOW)]
    return [*lines, (_RETURN, 0, 0, _FAIL | otherwise)]


def _deny_equal(*values: int) -> list[Instruction]:
    lines: list[Instruction] = []
    for value in values:
        lines += [(_IF_EQUAL, 0, 1, value), (_RETURN, 0, 0, _FAIL | errno.EPERM)]
    return [*lines, (_RETURN, 0, 0, _ALLOW)]
