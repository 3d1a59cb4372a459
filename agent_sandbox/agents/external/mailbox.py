"""The judge's side of a desk: requests are read from a folder, answers are put into another.

The program that asks may write to both folders and is not trusted. The folders are held open from
before it starts, names are checked, links and anything but small regular files are passed over, so
that it can make the judge neither read nor write anywhere else.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import stat
from pathlib import Path
from typing import Any, Literal

from lra_design.errors import RecordError
from lra_design.records import from_json, record

FOLDER = ".desk"
MAX_BYTES = 1024**2
"""Of a request."""
MAX_WAITING = 64
"""Requests that are looked at at a time."""
_NAME = re.compile(r"\d{1,20}-\d{1,10}\.json")
Verb = Literal["validate", "evaluate", "status", "submit"]


@record
class Request:
    """What a program asks."""

    verb: Verb
    source: str = ""
    change: str = ""


class Mailbox:
    """The open folders of one desk."""

    def __init__(self, workspace: Path) -> None:
        """Make the desk anew: whoever asked before an interruption waits no longer.

        The program does not run yet, but what it left there may be links to elsewhere.
        """
        inside = os.open(workspace, _FOLDER_FLAGS)
        try:
            _remove(inside)
            self._desk = _made(inside, FOLDER, 0o755)
        finally:
            os.close(inside)
        # A judge that is root runs the program under an id of its own.
        self._asks = _made(self._desk, "asks", 0o777 if os.geteuid() == 0 else 0o700)
        self._answers = _made(self._desk, "answers", 0o755)
        self._seen: set[str] = set()

    def next(self) -> tuple[str, Request | None] | None:
        """The name and content of the oldest request that was not taken yet; None without any.

        Content None: it cannot be read as one, and has been answered with the reason.
        """
        names = os.listdir(self._asks)  # noqa: PTH208  (no path: the open folder)
        waiting = [name for name in names if _NAME.fullmatch(name)]
        for name in sorted(set(waiting) - self._seen)[:MAX_WAITING]:
            self._seen.add(name)
            text = self._read(name)
            if text is None:
                continue
            try:
                return name, from_json(Request, text)
            except RecordError as error:
                self.answer(name, {"error": f"expected a request: {error}"})
                return name, None
        return None

    def answer(self, name: str, content: dict[str, Any]) -> None:
        """Put the answer to request `name` where its asker looks for it."""
        self._write(self._answers, name, json.dumps(content))

    def close(self, reason: str) -> None:
        """Say that nothing is answered any more."""
        self._write(self._desk, "closed", reason)
        for descriptor in (self._desk, self._asks, self._answers):
            os.close(descriptor)

    def _read(self, name: str) -> bytes | None:
        """The content of a request; None for what is no small regular file."""
        try:
            descriptor = os.open(
                name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._asks
            )
        except OSError:
            return None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                content = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
        if len(content) > MAX_BYTES:
            self.answer(name, {"error": f"a request has at most {MAX_BYTES} bytes"})
            return None
        return content

    def _write(self, folder: int, name: str, text: str) -> None:
        """A file that appears whole; one of that name is replaced, never written into."""
        draft = f".{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(draft, flags, 0o644, dir_fd=folder), "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _made(folder: int, name: str, mode: int) -> int:
    """A new folder in an open one, opened."""
    os.mkdir(name, dir_fd=folder)
    os.chmod(name, mode, dir_fd=folder)
    return os.open(name, _FOLDER_FLAGS, dir_fd=folder)


def _remove(workspace: int) -> None:
    """What stands at the desk's place, whatever it is."""
    try:
        is_folder = stat.S_ISDIR(os.stat(FOLDER, dir_fd=workspace, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    if is_folder:
        shutil.rmtree(FOLDER, dir_fd=workspace)
    else:
        os.unlink(FOLDER, dir_fd=workspace)
