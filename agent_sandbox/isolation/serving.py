"""The worker's side of a conversation: take one request, run it, answer it.

Everything here shares a process with the candidate, who may bend all of it. It is written to be
convenient for an honest candidate; the judge relies on none of it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NoReturn

from agent_sandbox.isolation.channel import Channel, ChannelError
from agent_sandbox.isolation.protocol import Message

_MAX_TRACE_CHARACTERS = 4000
_MAX_MESSAGE_CHARACTERS = 2000
# How torch's allocators and C++ say MemoryError.
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "std::bad_alloc", "out of memory")


def serve(channel: Channel, program: object, trusted_folders: Sequence[str]) -> None:
    """Answer requests until the judge closes its end. `trusted_folders` hold code that is ours."""
    while True:
        try:
            request = channel.receive()
        except ChannelError:
            return
        number = request.values.get("id")
        try:
            reply = _run(program, request)
            channel.send({"id": number, "values": dict(reply.values)}, reply.tensors)
        except (SystemExit, KeyboardInterrupt) as stop:
            _exit_like_python(stop)
        except BaseException as error:  # whatever the candidate raises is an answer
            answer = _describe(error, trusted_folders)
            del error
            channel.send({"id": number, "error": answer})


def _run(program: object, request: Message) -> Message:
    operation = str(request.values["operation"])
    if operation.startswith("_"):
        raise AttributeError(f"'{operation}' is not an operation")
    reply = getattr(program, operation)(Message(request.values["values"], request.tensors))
    if not isinstance(reply, Message):
        raise TypeError(f"'{operation}' must return a Message, found {type(reply).__name__}")
    return reply


def _exit_like_python(stop: BaseException) -> NoReturn:
    code = stop.code if isinstance(stop, SystemExit) else 130
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    os._exit((code or 0) & 0xFF)


def _describe(error: BaseException, trusted_folders: Sequence[str]) -> dict[str, Any]:
    try:
        message = str(error)[:_MAX_MESSAGE_CHARACTERS]
        lines = traceback.format_exception(
            type(error), error, _candidate_frames(error.__traceback__, trusted_folders)
        )
        trace = "".join(lines)[-_MAX_TRACE_CHARACTERS:]
    except Exception as second:  # an exception may itself refuse to be shown
        message, trace = f"(cannot be shown: {type(second).__name__})", ""
    memory = isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(word in message for word in _MEMORY_WORDS)
    )
    # Half surrogates would make a bad frame of an honest report.
    return {
        "type": type(error).__name__,
        "message": message.encode(errors="backslashreplace").decode(),
        "trace": trace.encode(errors="backslashreplace").decode(),
        "memory": memory,
    }


def _candidate_frames(
    trace: TracebackType | None, trusted_folders: Sequence[str]
) -> TracebackType | None:
    """The trace from the first frame that is not ours on; all of it when every frame is ours."""
    here = trace
    while here is not None:
        if not here.tb_frame.f_code.co_filename.startswith(tuple(trusted_folders)):
            return here
        here = here.tb_next
    return trace
