"""The head of a request to a proxy, read strictly: what could be read in two ways is refused.

RFC 9112, sections 2 and 6 (https://www.rfc-editor.org/rfc/rfc9112).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent_sandbox.agents.external.hosts import Host, parse_host

_HTTP_PORT = 80
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST = re.compile(rf"({_TOKEN}) ([\x21-\x7e]+) HTTP/1\.[01]")
_FIELD = re.compile(rf"({_TOKEN}):[ \t]*([\x20-\x7e\t]*)")
_PLAIN = re.compile(r"http://([^/?#]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_HOP_BY_HOP = (
    *("connection", "host", "keep-alive", "proxy-authenticate", "proxy-authorization"),
    *("proxy-connection", "te", "trailer", "upgrade"),
)
"""Of this connection and not of the next; Host is written anew."""


class BadHead(Exception):
    """It is no request to a proxy; says why."""


@dataclass(frozen=True)
class Head:
    """What a request asks of a proxy."""

    host: Host
    tunnel: bool
    """CONNECT; else one request of plain HTTP."""
    rewritten: bytes = b""
    """The head for the host, of a request of plain HTTP."""


def read_head(content: bytes) -> Head:
    """The head that `content` is, with the empty line that ends it. Raises BadHead."""
    request, *fields = content.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _REQUEST.fullmatch(_text(request))
    if match is None:
        raise BadHead("no request line of HTTP/1")
    method, target = match.groups()
    named = [_field(line) for line in fields]
    if method == "CONNECT":
        return Head(_host(target, None), tunnel=True)
    return _plain(method, target, named)


def _plain(method: str, target: str, fields: list[tuple[str, str]]) -> Head:
    match = _PLAIN.fullmatch(target)
    if match is None:
        raise BadHead("expected CONNECT, or a whole address that begins with http://")
    authority, path = match[1], match[2] or "/"
    host = _host(authority, _HTTP_PORT)
    _require_one_length(fields)
    kept = [f"{name}: {value}" for name, value in fields if name.lower() not in _HOP_BY_HOP]
    path = f"/{path}" if path.startswith("?") else path
    lines = [f"{method} {path} HTTP/1.1", f"Host: {authority.lower()}", *kept, "Connection: close"]
    return Head(host, tunnel=False, rewritten="\r\n".join([*lines, "", ""]).encode("ascii"))


def _require_one_length(fields: list[tuple[str, str]]) -> None:
    """The body's end must be told once: two tellings are how requests are smuggled."""
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    codings = [value.lower() for name, value in fields if name.lower() == "transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise BadHead("the length of the body is told twice")
    if any(not re.fullmatch(r"[0-9]{1,18}", value) for value in lengths):
        raise BadHead("Content-Length is no number")
    if any(value != "chunked" for value in codings):
        raise BadHead("Transfer-Encoding is not chunked")


def _host(text: str, default_port: int | None) -> Host:
    try:
        return parse_host(text, default_port)
    except ValueError as error:
        raise BadHead(f"{text[:100]!r} is no host: {error}") from None


def _field(line: bytes) -> tuple[str, str]:
    match = _FIELD.fullmatch(_text(line))
    if match is None:
        raise BadHead("a line that is no header field")
    return match[1], match[2].strip()


def _text(line: bytes) -> str:
    try:
        return line.decode("ascii")
    except UnicodeDecodeError:
        raise BadHead("a line that is not in ASCII") from None
