"""The pages of a watched site over HTTP: read-only, for one reader or a few, without a password.

Nothing of a request reaches the file system: a path is one of the site's pages or is not found.
Only requests that name this server as their host are answered, so that no page of a stranger, whose
name a browser was told to look up anew (DNS rebinding), reads the board through that browser.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from leaderboards.site.watch import Watch
from lra_design.visible import visible_text

MAX_CONNECTIONS = 32
"""At once; more are closed unanswered."""
WAIT_SECONDS = 10.0
"""For a client that sends or takes nothing."""
LOCAL = ("localhost", "127.0.0.1", "[::1]")
VERSION = "/version.json"
"""What `templates/live.js` asks."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the rest stands in the pages
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Answer:
    """What a request is answered."""

    status: HTTPStatus
    content: bytes
    kind: str = "text/plain; charset=utf-8"


class SiteServer(ThreadingHTTPServer):
    """Listens once made; `serve_forever` answers. Raises OSError when it cannot listen there."""

    daemon_threads = True
    allow_reuse_port = False  # a port in use is said to be

    def __init__(
        self, host: str, port: int, watch: Watch, *, on_fault: Callable[[str], None]
    ) -> None:
        """host: a name or an address; port: 0 takes a free one. on_fault: is told in a line of a
        page that could not be made, from whatever thread."""
        self.watch = watch
        self.on_fault = on_fault
        self.host = host
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        super().__init__((str(address[0]), port), _Handler)

    @property
    def url(self) -> str:
        """Of the first page."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.server_address[1]}/"

    def server_bind(self) -> None:
        """As the base class, but for asking a name server who we are."""
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """In a thread of its own, while there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """As the base class, giving the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's fault."""

    def is_own(self, host: str | None) -> bool:
        """Whether a request's Host names this server; the port may be that of a tunnel."""
        name = _without_port(host or "").lower()
        bound = str(self.server_address[0])
        if name in (self.host.lower(), f"[{self.host.lower()}]"):
            return True
        if ipaddress.ip_address(bound).is_unspecified:  # any address of this machine, and its name
            return name in ("localhost", socket.gethostname().lower()) or _is_address(name)
        return name in (LOCAL if ipaddress.ip_address(bound).is_loopback else (bound, f"[{bound}]"))


class _Handler(BaseHTTPRequestHandler):
    """One request; one connection, as HTTP/1.0 has it."""

    server: SiteServer
    timeout = WAIT_SECONDS
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain; charset=utf-8"

    def do_GET(self) -> None:
        if not self.server.is_own(self.headers.get("Host")):
            said = f"expected {self.server.url}\n".encode()
            self._send(Answer(HTTPStatus.MISDIRECTED_REQUEST, said))
            return
        path = self.path.partition("?")[0]
        try:
            answer = self._answer("/index.html" if path == "/" else path)
        except Exception as error:  # this page's fault; the others are served
            self.server.on_fault(visible_text(f"{path[:200]} could not be made: {error!r:.1000}"))
            answer = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"this page could not be made\n")
        self._send(answer)

    do_HEAD = do_GET

    def _answer(self, path: str) -> Answer:
        seen = self.server.watch.seen()
        if path == VERSION:
            versions = {live.kind: live.version for live in (seen.records, seen.progress)}
            content = json.dumps({**versions, "line": seen.records.line}).encode()
            return Answer(HTTPStatus.OK, content, "application/json")
        page = seen.pages.get(path.removeprefix("/"))
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, b"no such page\n")
        return Answer(HTTPStatus.OK, page().encode(), "text/html; charset=utf-8")

    def _refuse(self) -> None:
        self._send(Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"this site is only read\n"))

    do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = do_CONNECT = _refuse

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def end_headers(self) -> None:
        """With what every answer says, refusals of the base class included."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def version_string(self) -> str:
        """Who answers."""
        return "lra-design"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not written down."""


def _without_port(host: str) -> str:
    """`localhost` of `localhost:8000`, `[::1]` of `[::1]:8000`."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
