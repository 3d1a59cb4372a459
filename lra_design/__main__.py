"""The program `lra-design`, also as `python -m lra_design`: how it starts and how it is ended.

Ctrl-C, SIGTERM and SIGHUP ask it to end: what runs stops, what is half done is removed, one line
says so. Asked again meanwhile it leaves at once, and the workers end because it is gone. While
nothing but imports has happened, the first time is enough for that. It then dies of the signal it
got, which a shell shows as 130 for Ctrl-C: a loop around it in a shell ends too, as it does not for
a program that exits with 130 of its own accord.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED = 130
_UNPRINTED = 3
_SHOW_CURSOR = "\x1b[?25h"  # a bar hides it, and may not get to show it again

_received: list[int] = []


def main() -> None:
    """Run the command line and exit with its code, or of the signal that ended it."""
    _open_standard_streams()
    _on_signals(_leave)
    sys.unraisablehook = _note_ignored
    from lra_design.cli import main as run_command

    _on_signals(_ask_to_end)
    try:
        run_command()
    except SystemExit as end:
        _on_signals(_leave)
        printed = _flush()
        if _received and end.code == _INTERRUPTED:
            _die_of(_received[0])
        raise SystemExit(end.code or (0 if printed else _UNPRINTED)) from None


def _open_standard_streams() -> None:
    """Leave none closed, whose number the next file would get, and none that cannot print."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a locale without '≈' shows '?'


def _on_signals(handler: Callable[[int, FrameType | None], Any]) -> None:
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or behind `&`
            signal.signal(number, handler)


def _ask_to_end(number: int, frame: FrameType | None) -> None:
    if _received:
        _leave(number, frame)
    _received.append(number)
    raise KeyboardInterrupt


def _leave(number: int, frame: FrameType | None = None) -> NoReturn:
    """End here and now, without cleaning up."""
    cursor = _SHOW_CURSOR if os.isatty(2) else ""
    again = " again: what was half done may be left behind" if _received else ""
    try:
        os.write(2, f"{cursor}interrupted{again}\n".encode())
    finally:
        _die_of(number)


def _flush() -> bool:
    """Whether all that the command printed went out; what did not is dropped in silence."""
    went = True
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
            went = False
    return went


def _die_of(number: int) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)  # the first process of a container does not die of signals


def _note_ignored(ignored: Any) -> None:
    """An interrupt in a place that no exception can leave, such as a finaliser, ends all too."""
    if issubclass(ignored.exc_type, KeyboardInterrupt) and _received:
        number = _received.pop()
        _leave(number)
    sys.__unraisablehook__(ignored)


if __name__ == "__main__":
    main()
