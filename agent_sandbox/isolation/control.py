"""Requests between the judge and its fork server: small JSON texts, with descriptors beside them.

Both ends are trusted. The socket keeps messages apart (SOCK_SEQPACKET), so none needs a length.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from typing import Any

_MAX_BYTES = 1 << 16
_MAX_DESCRIPTORS = 4


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send_control(
    end: socket.socket, message: Mapping[str, Any], descriptors: Sequence[int] = ()
) -> None:
    """Send one message. Raises OSError when the other end is gone."""
    socket.send_fds(end, [json.dumps(message).encode()], list(descriptors))


def receive_control(end: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """The next message and its descriptors. Raises EOFError at the end, OSError on a time-out."""
    text, descriptors, _, _ = socket.recv_fds(end, _MAX_BYTES, _MAX_DESCRIPTORS)
    if not text:
        raise EOFError("the other end of the control socket is closed")
    message: dict[str, Any] = json.loads(text)
    return message, list(descriptors)
