"""The one zip archive that holds given members, and the refusal of every other.

Members are stored as they are, sorted by name, all dated 1980 with permissions 0644; nothing stands
before, between or after them. So equal members make equal bytes on every machine, which compressed
ones would not: versions of zlib differ in their output. And a file is read only when it is, byte
for byte, what would be written for its members: that leaves no room for bombs (nothing grows when
it is read), links, encryption, second members of one name, hidden data or two directories that
disagree. (PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 and 4.4)
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from leaderboards.bundles.layout import MAX_MEMBERS, MAX_TOTAL, size_limit
from lra_design.errors import DataError, RecordError

Content = bytes | Path
"""A member's bytes, or the file that has them."""
CHUNK = 2**20
_LOCAL, _CENTRAL, _END = "<IHHHHHIIIHH", "<IHHHHHHIIIHHHHHII", "<IHHHHIIH"
_LOCAL_MARK, _CENTRAL_MARK, _END_MARK = 0x04034B50, 0x02014B50, 0x06054B50
_VERSION, _UNIX, _DATE = 20, 3 << 8, (1 << 5) | 1
_MODE = (stat.S_IFREG | 0o644) << 16
_END_SIZE = struct.calcsize(_END)
_MAX_DIRECTORY = MAX_MEMBERS * 128


@dataclass(frozen=True)
class Member:
    """What the archive says of one file in it."""

    name: str
    crc: int
    size: int

    @property
    def header(self) -> bytes:
        """What stands before its content."""
        fields = (_VERSION, 0, 0, 0, _DATE, self.crc, self.size, self.size, len(self.name), 0)
        return struct.pack(_LOCAL, _LOCAL_MARK, *fields) + self.name.encode()

    def entry(self, offset: int) -> bytes:
        """Its line in the directory; offset: of its header."""
        common = (0, 0, 0, _DATE, self.crc, self.size, self.size, len(self.name), 0, 0, 0, 0)
        versions = (_VERSION | _UNIX, _VERSION)
        head = struct.pack(_CENTRAL, _CENTRAL_MARK, *versions, *common, _MODE, offset)
        return head + self.name.encode()


def archive_bytes(contents: Mapping[str, Content]) -> Iterator[bytes]:
    """The archive in pieces."""
    members = []
    for name in sorted(contents):
        members.append(_describe(name, contents[name]))
        yield members[-1].header
        yield from pieces(contents[name])
    yield _tail(members)


def pieces(content: Content) -> Iterator[bytes]:
    """The bytes of a member, a piece at a time. Raises DataError when its file cannot be read."""
    if isinstance(content, bytes):
        yield content
        return
    try:
        with content.open("rb") as file:
            yield from iter(lambda: file.read(CHUNK), b"")
    except OSError as error:
        raise DataError(f"cannot read {content}: {error.strerror}.") from None


def _describe(name: str, content: Content) -> Member:
    crc = size = 0
    for piece in pieces(content):
        crc, size = zlib.crc32(piece, crc), size + len(piece)
    return Member(name, crc, size)


def _tail(members: list[Member]) -> bytes:
    """The directory, and the record that ends the file."""
    entries, offset = [], 0
    for member in members:
        entries.append(member.entry(offset))
        offset += len(member.header) + member.size
    directory = b"".join(entries)
    count = len(entries)
    return directory + struct.pack(_END, _END_MARK, 0, 0, count, count, len(directory), offset, 0)


class Archive:
    """An open archive whose layout was found right; the content of a member is checked when it is
    read."""

    def __init__(self, file: BinaryIO, members: Mapping[str, tuple[Member, int]]) -> None:
        self._file = file
        self._members = members

    @property
    def names(self) -> tuple[str, ...]:
        """Of its members, sorted."""
        return tuple(self._members)

    def read(self, name: str) -> bytes:
        """The content of a member."""
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of a member, a piece at a time. Raises RecordError when it is damaged."""
        member, offset = self._members[name]
        self._file.seek(offset)
        left, crc = member.size, 0
        while left and (piece := self._file.read(min(left, CHUNK))):
            left, crc = left - len(piece), zlib.crc32(piece, crc)
            yield piece
        if left or crc != member.crc:
            raise RecordError(f"{name} is damaged: its checksum is another")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """The archive at `path`, links not followed. Raises RecordError, DataError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise DataError(f"cannot open: {error.strerror}. Name a readable file, no link") from None
    with file:
        yield Archive(file, _located(file, _members(file)))


def _members(file: BinaryIO) -> list[Member]:
    """What the directory lists, as far as a bundle may have it."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode) or not _END_SIZE <= status.st_size <= MAX_TOTAL:
        raise RecordError(f"expected a file of {_END_SIZE} to {MAX_TOTAL} bytes")
    end = status.st_size - _END_SIZE
    mark, *_, count, size, _, _ = struct.unpack(_END, _at(file, end, _END_SIZE))
    if mark != _END_MARK:
        raise RecordError("no zip archive, cut short, or something was added at its end")
    if count > MAX_MEMBERS or size > min(end, _MAX_DIRECTORY):
        raise RecordError(f"{count} members in a directory of {size} bytes: more than a bundle has")
    directory = _at(file, end - size, size)
    members: list[Member] = []
    while len(directory) >= struct.calcsize(_CENTRAL) and len(members) < count:
        member, directory = _entry(directory)
        members.append(member)
    names = [member.name for member in members]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise RecordError(f"two members are called {twice}")
    return members


def _entry(directory: bytes) -> tuple[Member, bytes]:
    """The first member of a directory, and what follows it."""
    head = struct.calcsize(_CENTRAL)
    mark, _, _, flags, method, _, _, crc, packed, size, *rest = struct.unpack_from(
        _CENTRAL, directory
    )
    length, extra, comment, _, _, attributes, _ = rest
    name = directory[head : head + length].decode("ascii", "backslashreplace")
    limit = size_limit(name)
    shown = repr(name[:100])
    if mark != _CENTRAL_MARK:
        raise RecordError("its directory is damaged")
    if limit is None:
        raise RecordError(f"no bundle has a member {shown}")
    if stat.S_IFMT(attributes >> 16) not in (0, stat.S_IFREG):
        raise RecordError(f"{shown} is a link, a folder or a device, expected a file")
    if flags or method or packed != size:
        raise RecordError(f"{shown} is compressed or encrypted, expected it stored as it is")
    if size > limit:
        raise RecordError(f"{shown} has {size} bytes, allowed {limit}")
    return Member(name, crc, size), directory[head + length + extra + comment :]


def _located(file: BinaryIO, members: list[Member]) -> dict[str, tuple[Member, int]]:
    """Each member with where its content begins; the rest of the file must be as we write it."""
    located, offset = {}, 0
    for member in members:
        begin = offset + len(member.header)
        if _at(file, offset, len(member.header)) != member.header:
            raise _other_layout()
        located[member.name] = (member, begin)
        offset = begin + member.size
    tail = _tail(members)
    if list(located) != sorted(located) or _at(file, offset, len(tail) + 1) != tail:
        raise _other_layout()
    return located


def _other_layout() -> RecordError:
    return RecordError(
        "its layout is not that of `lra-design submit`: other dates, permissions or order of "
        "members, or data before, between or after them"
    )


def _at(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)
