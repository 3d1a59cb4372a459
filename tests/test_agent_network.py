"""The way out of a walled program: to named hosts, through a gateway that records, and no other."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from fake_llm_server import FakeLLMServer

from agent_sandbox.agents.external import connections
from agent_sandbox.agents.external.connections import ConnectionLog, summary
from agent_sandbox.agents.external.gateway import MAX_HEAD_BYTES, Gateway
from agent_sandbox.agents.external.heads import BadHead, read_head
from agent_sandbox.agents.external.hosts import Host, may_mean, parse_host, parse_hosts
from agent_sandbox.agents.external.network import Network
from agent_sandbox.agents.external.program import OpenProgram, WalledProgram, passed_on
from agent_sandbox.agents.external.relay import Patience
from agent_sandbox.isolation import own_network
from agent_sandbox.isolation.opening import require_network
from lra_design.errors import HarnessError, IsolationUnavailable, UsageError
from lra_design.records import Level


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("api.anthropic.com", ["api.anthropic.com:443"]),
        ("A.Org:80,a.org:80, b-c.d_e.org", ["a.org:80", "b-c.d_e.org:443"]),
        ("localhost:11434,10.0.0.5:8000", ["localhost:11434", "10.0.0.5:8000"]),
        ("[::1]:8000,[2001:DB8::1]", ["[::1]:8000", "[2001:db8::1]:443"]),
        ("xn--bcher-kva.example", ["xn--bcher-kva.example:443"]),
    ],
)
def test_hosts_are_named_by_name_and_port(text: str, hosts: list[str]) -> None:
    assert [str(host) for host in parse_hosts(text)] == hosts
    assert [str(parse_host(host)) for host in hosts] == hosts


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "a.org,", "*.a.org", "*", "https://a.org", "a.org/v1", "me@a.org", "a.org:"),
        *(
            "a.org:0",
            "a.org:65536",
            "a.org:x",
            "a.org:443:443",
            "bücher.example",
            "a..org",
            "a.org.",
        ),
        *("-a.org", "a" * 64 + ".org", "a." * 130 + "org", "a.org\r\nb.org", "a org", "a.org%00"),
        *("127.1", "0x7f000001", "2130706433", "010.0.0.1", "1.2.3.4.5", "::1", "[::1", "[a.org]"),
        *("[fe80::1%eth0]:80", "0.0.0.0:80", "[::]:80", "224.0.0.1", "١٢٧.0.0.1", "a.org:٤٤٣"),
    ],
)
def test_what_is_no_host_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected hosts after --agent-network, as in api\."):
        parse_hosts(text)


@pytest.mark.parametrize(
    ("host", "address", "may"),
    [
        ("a.org:443", "93.184.216.34", True),
        ("a.org:443", "2606:4700::6810:1", True),
        ("a.org:443", "64:ff9b::5db8:d822", True),  # an IPv4 address behind NAT64
        ("a.org:443", "127.0.0.1", False),
        ("a.org:443", "0.0.0.0", False),
        ("a.org:443", "10.1.2.3", False),
        ("a.org:443", "100.64.0.1", False),
        ("a.org:443", "169.254.169.254", False),
        ("a.org:443", "192.168.1.1", False),
        ("a.org:443", "224.0.1.1", False),
        ("a.org:443", "::1", False),
        ("a.org:443", "fe80::1", False),
        ("a.org:443", "fd00::1", False),
        ("a.org:443", "::ffff:169.254.169.254", False),
        ("a.org:443", "64:ff9b::a9fe:a9fe", False),
        ("a.org:443", "2002:7f00:1::", False),
        ("localhost:80", "127.0.0.1", True),
        ("localhost:80", "10.0.0.1", False),
        ("10.0.0.5:80", "10.0.0.5", True),
        ("10.0.0.5:80", "10.0.0.6", False),
        ("169.254.169.254:80", "169.254.169.254", True),
    ],
)
def test_a_name_means_no_address_of_this_machine_or_its_networks(
    host: str, address: str, may: bool
) -> None:
    assert may_mean(parse_host(host), ipaddress.ip_address(address)) is may


def test_a_name_does_not_mean_this_machines_own_public_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every address of 127.0.0.0/8 can be bound here; one of them plays the public one."""
    monkeypatch.setattr(ipaddress.IPv4Address, "is_global", True)
    assert not may_mean(Host("a.org", 443), ipaddress.ip_address("127.0.0.7"))
    assert may_mean(Host("a.org", 443), ipaddress.ip_address("192.0.2.7"))


def test_a_request_of_plain_http_is_written_anew_for_its_host() -> None:
    head = read_head(
        b"POST http://A.org:8080?x=1 HTTP/1.1\r\nHost: evil.org\r\nProxy-Authorization: secret\r\n"
        b"Connection: keep-alive\r\nUpgrade: h2c\r\nContent-Length: 2\r\nX-Key: a b\r\n\r\n"
    )
    assert head.host == Host("a.org", 8080)
    assert head.rewritten == (
        b"POST /?x=1 HTTP/1.1\r\nHost: a.org:8080\r\nContent-Length: 2\r\nX-Key: a b\r\n"
        b"Connection: close\r\n\r\n"
    )
    assert read_head(b"CONNECT a.org:443 HTTP/1.1\r\n\r\n").tunnel
    assert read_head(b"GET http://[::1] HTTP/1.0\r\n\r\n").host == Host("::1", 80)


@pytest.mark.parametrize(
    "head",
    [
        *(
            b"GET / HTTP/1.1",
            b"CONNECT a.org HTTP/1.1",
            b"CONNECT a.org:443 HTTP/2",
            b"\x16\x03\x01",
        ),
        *(b"CONNECT a.org:443@evil.org:443 HTTP/1.1", b"GET http://a.org@evil.org/ HTTP/1.1"),
        *(b"CONNECT a.org:443 evil.org:443 HTTP/1.1", b"GET https://a.org/ HTTP/1.1", b""),
        *(b"GET http://a.org\\.evil.org/ HTTP/1.1", b"GET http://a.org/#x HTTP/1.1"),
        b"CONNECT a.org:443 HTTP/1.1\nHost: evil.org",
        b"GET http://a.org/\rHost: evil.org HTTP/1.1",
        b"POST http://a.org/ HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        b"POST http://a.org/ HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 30",
        b"POST http://a.org/ HTTP/1.1\r\nContent-Length: +3",
        b"POST http://a.org/ HTTP/1.1\r\nTransfer-Encoding: xchunked",
        b"POST http://a.org/ HTTP/1.1\r\nTransfer-Encoding : chunked",
        b"POST http://a.org/ HTTP/1.1\r\nA: b\r\n Transfer-Encoding: chunked",
        b"POST http://a.org/ HTTP/1.1\r\nA: b\nTransfer-Encoding: chunked",
        b"POST http://a.org/ HTTP/1.1\r\nA: b\x00c",
        "GET http://bücher.example/ HTTP/1.1".encode(),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(BadHead):
        read_head(head + b"\r\n\r\n")


class Answering:
    """A gateway in a thread of this process, and what it recorded."""

    def __init__(self, folder: Path, hosts: str, **patience: float) -> None:
        self.path = folder / "agent-network.jsonl"
        self._log = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.gateway = Gateway(parse_hosts(hosts), ConnectionLog(self._log), Patience(**patience))
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = self._door.getsockname()
        self.fault: OSError | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self.gateway.serve(self._door))
        except OSError as fault:
            self.fault = fault
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def __enter__(self) -> Answering:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self.gateway.over.set)
        self._thread.join()
        os.close(self._log)

    def asked(self, request: bytes) -> socket.socket:
        client = socket.create_connection(self.address, timeout=10)
        client.sendall(request)
        return client

    def told(self, request: bytes) -> bytes:
        with self.asked(request) as client:
            return all_of(client)

    def entries(self) -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.path.read_text().splitlines()]
        for entry in entries:
            assert entry.pop("time").endswith("+00:00")
        return entries


def all_of(client: socket.socket) -> bytes:
    received = b""
    while chunk := client.recv(1 << 16):
        received += chunk
    return received


@contextlib.contextmanager
def heard(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on loopback, which handles each connection with `answer`; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, contextlib.suppress(OSError):
                        client.settimeout(10)
                        answer(client)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def reversed_whole(client: socket.socket) -> None:
    """Answers when the other side has said all: half-closed connections must live."""
    client.sendall(all_of(client)[::-1])


def test_a_tunnel_carries_bytes_both_ways_and_is_recorded(tmp_path: Path) -> None:
    with heard(reversed_whole) as port, Answering(tmp_path, f"localhost:{port}") as gateway:
        request = f"CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\nearly ".encode()
        with gateway.asked(request) as client:
            client.sendall(b"bytes" * 100_000)
            client.shutdown(socket.SHUT_WR)
            answer = all_of(client)
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nsetyb")
    assert answer.endswith(b" ylrae")
    opened, closed = gateway.entries()
    target = {"target": f"localhost:{port}", "address": "127.0.0.1"}
    assert opened == {"event": "opened", **target}
    assert closed.pop("seconds") >= 0
    assert closed == {"event": "closed", **target, "bytes_out": 500_006, "bytes_in": 500_006}
    assert summary(gateway.path) == (
        f"reached: localhost:{port} (1 x, 500006 bytes out, 500006 in); refused: nothing"
    )


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("CONNECT evil.org:443", 403),
        ("CONNECT 127.0.0.1:{port}", 403),  # the same machine, but not what was named
        ("CONNECT [::1]:{port}", 403),
        ("CONNECT localhost:{other}", 403),
        ("CONNECT LOCALHOST:0", 400),
        ("GET http://evil.org/", 403),
        ("GET http://localhost/", 403),
        ("BREW coffee", 400),
        ("GET /", 400),
    ],
)
def test_everything_else_is_refused_and_recorded(tmp_path: Path, target: str, status: int) -> None:
    with heard(reversed_whole) as port, Answering(tmp_path, f"localhost:{port}") as gateway:
        line = target.format(port=port, other=port % 65535 + 1)
        answer = gateway.told(f"{line} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    [entry] = gateway.entries()
    assert entry["event"] == "refused"
    if status == 403:
        assert f"may reach: localhost:{port}" in answer.decode()
        assert entry["target"] in line or entry["target"] in f"{line}:80".replace("/:", ":")
        assert summary(gateway.path).startswith("reached: nothing; refused: ")


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "10.0.0.1", "::1"])
def test_a_name_that_leads_inside_is_refused_when_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """Looked at anew for each connection, so that a name cannot change its meaning in between."""
    resolved: list[object] = []
    real = socket.getaddrinfo

    def resolve(name: Any, port: Any, *rest: Any, **others: Any) -> list[Any]:
        if name != b"a.org":
            return real(name, port, *rest, **others)
        resolved.append(name)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Answering(tmp_path, "a.org") as gateway:
        answers = [gateway.told(b"CONNECT a.org:443 HTTP/1.1\r\n\r\n") for _ in range(2)]
    assert all(answer.startswith(b"HTTP/1.1 403 ") for answer in answers)
    assert f"leads to {address}" in gateway.entries()[0]["reason"]
    assert len(resolved) == 2


def test_an_unnamed_name_is_not_even_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question to a name server would carry secrets out."""
    real = socket.getaddrinfo

    def resolve(name: Any, *rest: Any, **others: Any) -> list[Any]:
        assert name == "127.0.0.1", "the test's own way to the gateway"
        return real(name, *rest, **others)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with Answering(tmp_path, "a.org") as gateway:
        assert b" 403 " in gateway.told(b"CONNECT secret.evil.org:443 HTTP/1.1\r\n\r\n")


def test_who_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    """A head byte by byte, a tunnel in which nobody speaks, a head without an end."""
    with (
        heard(lambda client: time.sleep(3)) as port,
        Answering(tmp_path, f"localhost:{port}", head=0.2, idle=0.2) as gateway,
    ):
        assert gateway.told(b"CONNECT loc").startswith(b"HTTP/1.1 408 ")
        tunnel = gateway.told(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
        assert tunnel == b"HTTP/1.1 200 Connection established\r\n\r\n"
        assert gateway.told(b"A" * (MAX_HEAD_BYTES + 9)).startswith(b"HTTP/1.1 400 ")
    assert [entry["event"] for entry in gateway.entries()] == [
        *("refused", "opened", "closed", "refused")
    ]


def test_connections_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_sandbox.agents.external.gateway.MAX_CONNECTIONS", 2)
    with Answering(tmp_path, "a.org", head=5.0) as gateway:
        waiting = [gateway.asked(b"CONN") for _ in range(2)]
        time.sleep(0.1)
        assert gateway.told(b"CONN").startswith(b"HTTP/1.1 503 ")
        for client in waiting:
            client.close()


def test_a_host_that_does_not_answer_is_said_to_be_so(tmp_path: Path) -> None:
    with socket.socket() as held:  # bound and not listening: nobody else takes the port meanwhile
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with Answering(tmp_path, f"127.0.0.1:{port}") as gateway:
            answer = gateway.told(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 502 ")


def test_what_cannot_be_recorded_is_not_admitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with heard(reversed_whole) as port, Answering(tmp_path, f"localhost:{port}") as gateway:
        request = f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode()
        monkeypatch.setattr(connections, "MAX_LINES", 2)
        assert gateway.told(b"CONNECT a.org:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403")
        assert gateway.told(request) == b""
        monkeypatch.undo()

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        assert gateway.told(request) == b""
        gateway._thread.join(10)
        monkeypatch.undo()
    assert gateway.fault is not None
    assert [entry["event"] for entry in gateway.entries()] == ["refused"]


def test_a_program_gets_the_variables_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "sk-1")
    assert passed_on(["A_KEY"]) == {"A_KEY": "sk-1"}
    monkeypatch.delenv("A_KEY")
    for name, complaint in (
        ("A_KEY", "found it not set"),
        ("A KEY", "expected names of environment variables"),
        ("A_KEY=sk-1", "expected names of environment variables"),
        ("", "expected names of environment variables"),
        ("HTTPS_PROXY", "is set for the program"),
        ("PATH", "is set for the program"),
    ):
        with pytest.raises(UsageError, match=complaint):
            passed_on([name])


def test_a_program_outside_the_walls_gets_no_others_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANOTHER_KEY", "sk-2")
    with OpenProgram("env > seen", tmp_path, tmp_path / "log", environment={"A_KEY": "sk-1"}):
        pass
    seen = (tmp_path / "seen").read_text()
    assert "A_KEY=sk-1" in seen
    assert "PATH=" in seen
    assert "ANOTHER_KEY" not in seen


@pytest.mark.parametrize("level", ["unsafe", "standard"])
def test_without_a_network_of_its_own_there_is_a_refusal_that_helps(
    level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_network, "CLONE_NEWNET", 0x1)  # a flag that no kernel takes
    monkeypatch.setattr(own_network, "CLONE_NEWUSER", 0x1)
    with pytest.raises(IsolationUnavailable, match="'network namespace'") as refusal:
        require_network(level)
    assert "--agent-network-unwalled" in refusal.value.remedy


ATTACKS = """
import json, os, pathlib, socket, subprocess, urllib.error, urllib.request

PORT, OTHER, OUTSIDE, ABSTRACT = {port}, {other}, {outside!r}, {abstract!r}

def tried(what):
    try:
        return ["done", str(what())]
    except Exception as error:
        return [type(error).__name__, str(error)]

def connect(address, kind=socket.SOCK_STREAM, family=socket.AF_INET):
    with socket.socket(family, kind) as client:
        client.settimeout(5)
        client.connect(address)
        return "connected"

def paired(what):
    a, b = socket.socketpair()
    with a, b:
        return what(a)

def proxied(*lines):
    with socket.create_connection(("127.0.0.1", 3128), 5) as client:
        client.sendall("\\r\\n".join([*lines, "", ""]).encode())
        return client.recv(100).decode().split("\\r\\n")[0]

def fetched(address):
    return urllib.request.urlopen(address, timeout=10).read()

seen = {{
    "direct": tried(lambda: connect(("127.0.0.1", PORT))),
    "address": tried(lambda: connect(("192.0.2.1", 443))),
    "UDP": tried(lambda: connect(("192.0.2.1", 53), socket.SOCK_DGRAM)),
    "DNS": tried(lambda: socket.getaddrinfo("example.org", 443)),
    "abstract": tried(lambda: connect("\\0" + ABSTRACT, family=socket.AF_UNIX)),
    "path": tried(lambda: connect(OUTSIDE + "/listens", family=socket.AF_UNIX)),
    "pair to a path": tried(lambda: paired(lambda a: a.connect(OUTSIDE + "/listens"))),
    "pair re-aimed": tried(lambda: paired(
        lambda a: a.sendmsg([b"x"], [], 0, OUTSIDE + "/listens")
    )),
    "pair with a name": tried(lambda: paired(lambda a: a.bind("named"))),
    "datagram pair": tried(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
    "raw": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)),
    "netlink": tried(lambda: socket.socket(16, socket.SOCK_RAW, 0)),
    "vsock": tried(lambda: socket.socket(40, socket.SOCK_STREAM)),
    "mptcp": tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)),
    "namespace": tried(lambda: subprocess.run(["unshare", "-Un", "true"], check=True)),
    "other host": tried(lambda: proxied("CONNECT evil.org:443 HTTP/1.1")),
    "other port": tried(lambda: proxied(f"CONNECT localhost:{{OTHER}} HTTP/1.1")),
    "by address": tried(lambda: proxied(f"CONNECT 127.0.0.1:{{PORT}} HTTP/1.1")),
    "smuggled": tried(lambda: proxied(
        f"POST http://localhost:{{PORT}}/ HTTP/1.1", "Content-Length: 4",
        "Transfer-Encoding: chunked",
    )),
    "fetched other": tried(lambda: fetched(f"http://localhost:{{OTHER}}/")),
    "run": tried(lambda: list(pathlib.Path(OUTSIDE).iterdir())),
    "secret": tried(lambda: pathlib.Path(OUTSIDE, "secret").read_text()),
    "record": tried(lambda: open(OUTSIDE + "/agent-network.jsonl", "a")),
    "home": tried(lambda: list(pathlib.Path({home!r}).iterdir())),
    "judge": tried(lambda: pathlib.Path("/proc/{judge}/environ").read_bytes()),
    "fetched": tried(lambda: fetched(f"http://localhost:{{PORT}}/hello")),
    "tunnel": tried(lambda: proxied(f"CONNECT localhost:{{PORT}} HTTP/1.1")),
    "key": tried(lambda: os.environ["A_KEY"]),
    "other key": tried(lambda: os.environ["ANOTHER_KEY"]),
    "argv": tried(lambda: [
        p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if b"sk-1" in p.read_bytes()
    ]),
}}
pathlib.Path("seen.json").write_text(json.dumps(seen))
"""


class Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.path} for {self.headers['Host']}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def web_server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hello) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def run_walled(
    folder: Path, source: str, hosts: str, level: Level = "standard", **environment: str
) -> Path:
    """Run a program with a way to `hosts`, to its end; its workspace."""
    place = folder / "run" / "workspace"
    place.mkdir(parents=True)
    (place / "agent.py").write_text(source)
    with WalledProgram(
        "python agent.py",
        place,
        level,
        folder / "run" / "log",
        network=Network(parse_hosts(hosts), folder / "run" / "agent-network.jsonl"),
        environment=environment,
    ) as walled:
        deadline = time.monotonic() + 60
        while walled.ended() is None and time.monotonic() < deadline:
            time.sleep(0.02)
    assert walled.ended() == "the program ended with exit code 0", (
        folder / "run" / "log"
    ).read_text()
    return place


def attack(folder: Path, monkeypatch: pytest.MonkeyPatch, level: Level) -> None:
    """Everything that a program might try, at `level`."""
    monkeypatch.setenv("ANOTHER_KEY", "sk-2")
    run = folder / "run"
    run.mkdir()
    (run / "secret").write_text("sealed")
    abstract = f"lra-design-{os.urandom(8).hex()}"
    with (
        web_server() as port,
        web_server() as other,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as unnamed,
    ):
        named.bind(str(run / "listens"))
        unnamed.bind("\0" + abstract)
        for listener in (named, unnamed):
            listener.listen()
        source = ATTACKS.format(
            port=port,
            other=other,
            outside=str(run),
            abstract=abstract,
            home=str(Path.home()),
            judge=os.getpid(),
        )
        place = run_walled(folder, source, f"localhost:{port}", level, A_KEY="sk-1")
    seen = json.loads((place / "seen.json").read_text())
    assert seen.pop("key") == ["done", "sk-1"]
    assert seen.pop("fetched") == ["done", str(f"/hello for localhost:{port}".encode())]
    assert seen.pop("tunnel") == ["done", "HTTP/1.1 200 Connection established"]
    for name in ("other host", "other port", "by address"):
        assert seen.pop(name) == ["done", "HTTP/1.1 403 Forbidden"]
    assert seen.pop("smuggled") == ["done", "HTTP/1.1 400 Bad Request"]
    assert "403" in seen["fetched other"][1]
    assert seen.pop("argv") == ["done", "[]"]
    assert [name for name, (result, _) in seen.items() if result == "done"] == []
    told = summary(run / "agent-network.jsonl")
    assert told.startswith(f"reached: localhost:{port} (2 x, ")
    assert f"localhost:{other} (2 x)" in told
    assert "evil.org:443 (1 x)" in told
    assert f"127.0.0.1:{port} (1 x)" in told
    assert "sk-1" not in (run / "agent-network.jsonl").read_text()


def test_a_walled_program_reaches_what_is_named_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack(tmp_path, monkeypatch, "standard")


@pytest.mark.slow
def test_it_does_so_behind_bubblewrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attack(tmp_path, monkeypatch, "strong")


def waited_for(condition: Callable[[], bool], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_gateway_ends_with_its_program_and_its_record_is_whole(tmp_path: Path) -> None:
    """A connection that is open at the end is written down; the door is closed behind it."""
    log = tmp_path / "agent-network.jsonl"
    door = socket.create_server(("127.0.0.1", 0))
    address = door.getsockname()
    with heard(lambda client: time.sleep(5)) as port:
        network = Network(parse_hosts(f"localhost:{port}"), log)
        with network.serving(door), socket.create_connection(address, 10) as client:
            client.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\nhello".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 200 ")
            assert waited_for(lambda: log.read_text().count("\n") == 1)
            network.require_alive()
        network.require_alive()
    closed = json.loads(log.read_text().splitlines()[-1])
    assert (closed["event"], closed["bytes_out"]) == ("closed", 5)
    assert log.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 1)


def test_a_gateway_that_dies_ends_the_run(tmp_path: Path) -> None:
    network = Network(parse_hosts("a.org"), tmp_path / "log")
    with network.serving(socket.create_server(("127.0.0.1", 0))):
        assert network._process is not None
        os.kill(network._process.pid, signal.SIGKILL)
        network._process.wait()
        with pytest.raises(HarnessError, match="ended by itself: code -9"):
            network.require_alive()


@pytest.mark.slow
def test_a_gateway_ends_with_a_judge_that_is_killed(tmp_path: Path) -> None:
    judge = (
        "import socket, sys, time\n"
        "from pathlib import Path\n"
        "from agent_sandbox.agents.external.hosts import parse_hosts\n"
        "from agent_sandbox.agents.external.network import Network\n"
        f"network = Network(parse_hosts('a.org'), Path({str(tmp_path / 'log')!r}))\n"
        "with network.serving(socket.create_server(('127.0.0.1', 0))):\n"
        "    print(network._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", judge], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        gateway = int(process.stdout.readline())
        process.kill()
    assert waited_for(lambda: ended(gateway))


def ended(pid: int) -> bool:
    """Gone, or a zombie that nobody has waited for yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


@pytest.mark.slow
@pytest.mark.parametrize("level", ["standard", "strong"])
def test_the_real_sdk_of_openai_finds_its_way_out(tmp_path: Path, level: Level) -> None:
    source = (
        "import os, pathlib, openai\n"
        "client = openai.OpenAI(api_key=os.environ['A_KEY'], base_url=os.environ['ADDRESS'])\n"
        "def asked():\n"
        "    return client.responses.create(model='tester', input='write', max_output_tokens=9)\n"
        "told = [asked().output_text for _ in range(2)]\n"
        "pathlib.Path('told').write_text(' '.join(told))\n"
    )
    with FakeLLMServer() as server:
        port = int(server.address.rpartition(":")[2])
        address = f"http://localhost:{port}/v1"
        place = run_walled(
            tmp_path, source, f"localhost:{port}", level, A_KEY="sk-1", ADDRESS=address
        )
    assert (place / "told").read_text() == "Hello. Hello."
    assert [request.headers["authorization"] for request in server.requests] == ["Bearer sk-1"] * 2
    assert server.requests[0].headers["host"] == f"localhost:{port}"
    record = tmp_path / "run" / "agent-network.jsonl"
    assert summary(record).startswith(f"reached: localhost:{port} (2 x, ")
    assert "sk-1" not in record.read_text()


@pytest.mark.slow
def test_a_large_transfer_takes_little_memory(tmp_path: Path) -> None:
    """256 MiB out to a host that reads slowly at first, and 256 MiB in."""
    size, piece = 256 << 20, b"x" * (1 << 20)
    counted: list[int] = []

    def count_and_answer(client: socket.socket) -> None:
        time.sleep(1)
        received = 0
        while chunk := client.recv(1 << 20):
            received += len(chunk)
        counted.append(received)
        for _ in range(size // len(piece)):
            client.sendall(piece)

    door = socket.create_server(("127.0.0.1", 0))
    address = door.getsockname()
    with heard(count_and_answer) as port:
        network = Network(parse_hosts(f"localhost:{port}"), tmp_path / "log")
        with network.serving(door), socket.create_connection(address, 60) as client:
            client.sendall(f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
            head = client.recv(39)
            for _ in range(size // len(piece)):
                client.sendall(piece)
            client.shutdown(socket.SHUT_WR)
            received = 0
            while chunk := client.recv(1 << 20):
                received += len(chunk)
            assert network._process is not None
            status = Path(f"/proc/{network._process.pid}/status").read_text()
    assert head.endswith(b"established\r\n\r\n")
    assert (counted, received) == ([size], size)
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert peak < 64 * 1024, f"{peak} KiB at most"
    assert f"(1 x, {size} bytes out, {size} in)" in summary(tmp_path / "log")


@pytest.mark.slow
def test_a_program_that_is_ended_leaves_nothing_running(tmp_path: Path) -> None:
    """Ended from outside while it and a child hold connections; one that ignores signals."""
    place = tmp_path / "workspace"
    place.mkdir()
    mark = f"6{os.getpid()}"
    (place / "agent.py").write_text(
        "import signal, socket, subprocess, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen(['sleep', '{mark}'])\n"
        "held = socket.create_connection(('127.0.0.1', 3128))\n"
        "open('started', 'w').close()\n"
        f"time.sleep({mark})\n"
    )
    network = Network(parse_hosts("a.org"), tmp_path / "record")
    walled = WalledProgram("python agent.py", place, "standard", tmp_path / "log", network=network)
    with contextlib.suppress(KeyboardInterrupt), walled:
        assert waited_for((place / "started").exists)
        raise KeyboardInterrupt
    assert network._process is not None
    assert network._process.returncode == 0
    commands = [
        path.read_bytes()
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.parent.name != str(os.getpid())
    ]
    assert not [command for command in commands if mark.encode() in command]
