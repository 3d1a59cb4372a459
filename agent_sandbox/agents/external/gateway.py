"""The one way out of a walled program: a forward proxy that admits named hosts, and no others.

A process of its own, started as `python -I -u -B -m agent_sandbox.agents.external.gateway CONFIG`
with an empty environment. It answers at the door of the program's network (see
`isolation.own_network`), resolves names itself, connects from the machine's network, and records
what it did. It ends when its standard input does, that is with the judge.

    CONNECT host:port HTTP/1.1            a tunnel, for https (RFC 9110, 9.3.6)
    GET http://host:port/path HTTP/1.1    one request of plain HTTP, after which it closes

It reads no further than the head of a request. All that follows it goes to the one host that the
head named, so nothing that is hidden in a body reaches another.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401  (asyncio would, when it may not read it any more)
import contextlib
import json
import logging
import os
import resource
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent_sandbox.agents.external.connections import ConnectionLog, Full
from agent_sandbox.agents.external.heads import BadHead, Head, read_head
from agent_sandbox.agents.external.hosts import (
    LOCALHOST,
    Host,
    address_of,
    may_mean,
    parse_host,
)
from agent_sandbox.agents.external.relay import CHUNK_BYTES, Patience, relay

MAX_CONNECTIONS = 64
"""At the same time."""
MAX_HEAD_BYTES = 64 * 1024
_MAX_ADDRESSES = 4
_HEARING_SECONDS = 1.0
_MAX_MEMORY_BYTES = 1024**3
_UNUSED_UID = 65518
"""Root gives itself up for it: nobody has it, and workers get it last (see `isolation.user`)."""
_STATUS = {
    400: "Bad Request",
    403: "Forbidden",
    408: "Request Timeout",
    502: "Bad Gateway",
    503: "Service Unavailable",
}


class Refusal(Exception):
    """A request that is not granted."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Gateway:
    """Answers every connection at the door."""

    def __init__(
        self, hosts: Sequence[Host], log: ConnectionLog, patience: Patience | None = None
    ) -> None:
        self._hosts = frozenset(hosts)
        self._log = log
        self._patience = patience or Patience()
        self._tasks: set[asyncio.Task[None]] = set()
        self.fault: OSError | None = None
        """Why nothing is recorded any more, and so nothing admitted."""
        self.over = asyncio.Event()

    async def serve(self, door: socket.socket) -> None:
        """Answer until `over` is set, then close every connection. Raises OSError: `fault`."""
        server = await asyncio.start_server(self._answer, sock=door, limit=MAX_HEAD_BYTES)
        await self.over.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.fault is not None:
            raise self.fault

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._admit_or_refuse(reader, writer)
            await _flushed(writer, self._patience.linger)
        except (OSError, Full, asyncio.CancelledError):
            pass  # the program hung up, or is not heard any more, or the gateway ends
        except Exception as error:  # ours, which must not end what others say meanwhile
            with contextlib.suppress(OSError, Full), self._recording():
                self._log.refused("?", f"a fault of the gateway: {type(error).__name__}: {error}")
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _admit_or_refuse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        target = "?"
        try:
            if len(self._tasks) > MAX_CONNECTIONS:
                raise Refusal(503, f"more than {MAX_CONNECTIONS} connections at a time")
            head = await self._head(reader)
            target = str(head.host)
            remote_reader, remote, address = await self._connected(head.host)
        except Refusal as refusal:
            with self._recording():
                self._log.refused(target, refusal.reason)
            await _say_no(reader, writer, refusal)
            return
        await self._pass_on(head, (reader, writer), (remote_reader, remote), address)

    async def _head(self, reader: asyncio.StreamReader) -> Head:
        try:
            async with asyncio.timeout(self._patience.head):
                return read_head(await reader.readuntil(b"\r\n\r\n"))
        except TimeoutError:
            raise Refusal(408, f"no whole head in {self._patience.head:g} s") from None
        except asyncio.LimitOverrunError:
            raise Refusal(400, f"a head of more than {MAX_HEAD_BYTES} bytes") from None
        except asyncio.IncompleteReadError as error:
            raise Refusal(400, f"the head ended after {len(error.partial)} bytes") from None
        except BadHead as error:
            raise Refusal(400, str(error)) from None

    async def _connected(
        self, host: Host
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        """A connection to a named host, and the address it is to. Raises Refusal."""
        if host not in self._hosts:
            named = ", ".join(sorted(map(str, self._hosts)))
            raise Refusal(403, f"not among the hosts that this program may reach: {named}")
        fault = "no address answers"
        for address in await self._addresses(host):
            try:
                async with asyncio.timeout(self._patience.connect):
                    pair = await asyncio.open_connection(address, host.port, limit=CHUNK_BYTES)
                    return *pair, address
            except OSError as error:
                fault = f"{address} does not answer: {error.strerror or 'too slow'}"
        raise Refusal(502, fault)

    async def _addresses(self, host: Host) -> list[str]:
        """Where `host` may be reached. What was looked at is what is connected to: a name that
        means something else a moment later gains nothing."""
        if host.address is not None:
            return [host.name]
        if host.name == LOCALHOST:
            return ["127.0.0.1", "::1"]
        try:
            async with asyncio.timeout(self._patience.connect):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host.name.encode(), host.port, type=socket.SOCK_STREAM
                )
        except OSError as error:
            raise Refusal(
                502, f"the name does not resolve: {error.strerror or 'too slow'}"
            ) from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        allowed = [a for a in addresses if (at := address_of(a)) and may_mean(host, at)]
        if not allowed:
            raise Refusal(
                403,
                f"the name leads to {', '.join(addresses)[:200]}, in this machine or a network of "
                "its own; only an address that is itself named may do so",
            )
        return allowed[:_MAX_ADDRESSES]

    async def _pass_on(
        self,
        head: Head,
        program: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        remote: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        address: str,
    ) -> None:
        try:
            with self._recording():
                connection = self._log.opened(str(head.host), address)
            try:
                if head.tunnel:
                    program[1].write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    remote[1].write(head.rewritten)
                    connection.bytes_out += len(head.rewritten)
                await relay(connection, program, remote, self._patience, half_open=head.tunnel)
            finally:
                with self._recording():
                    connection.close()
        finally:
            remote[1].close()

    @contextlib.contextmanager
    def _recording(self) -> Iterator[None]:
        """What cannot be recorded does not happen: the gateway ends."""
        try:
            yield
        except OSError as error:
            self.fault = error
            self.over.set()
            raise


async def _flushed(writer: asyncio.StreamWriter, seconds: float) -> None:
    """Close it when what was written is through. Raises OSError, also when that takes too long."""
    writer.close()
    async with asyncio.timeout(seconds):
        await writer.wait_closed()


async def _say_no(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refusal: Refusal
) -> None:
    """Answer, and read on for a moment: who is hung up on while he speaks may not hear it."""
    text = f"{refusal.reason}\n".encode()
    head = (
        f"HTTP/1.1 {refusal.status} {_STATUS[refusal.status]}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + text)
    writer.write_eof()
    if refusal.status != 503:
        async with asyncio.timeout(_HEARING_SECONDS):
            while await reader.read(CHUNK_BYTES):
                pass


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """What the judge tells the process, as JSON in the first argument."""

    hosts: list[str]
    door: int
    """Descriptor of the listening socket."""
    log: int
    """Descriptor of the record, open for appending."""


async def _run(config: GatewayConfig) -> None:
    gateway = Gateway([parse_host(text) for text in config.hosts], ConnectionLog(config.log))
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), gateway.over.set)
    await gateway.serve(socket.socket(fileno=config.door))


def _give_up_rights() -> None:
    """It reads what a stranger sends, and needs sockets and name servers alone."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # a container that has no other user
            os.setgroups([])
            os.setresgid(_UNUSED_UID, _UNUSED_UID, _UNUSED_UID)
            os.setresuid(_UNUSED_UID, _UNUSED_UID, _UNUSED_UID)


def main() -> None:
    """Run the gateway that the configuration in the first argument asks for."""
    config = GatewayConfig(**json.loads(sys.argv[1]))
    logging.disable()  # asyncio's own, on a pipe that nobody reads meanwhile
    _give_up_rights()
    asyncio.run(_run(config))


if __name__ == "__main__":
    main()
