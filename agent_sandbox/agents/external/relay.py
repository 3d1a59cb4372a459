"""Passing bytes on between a program and a host, both ways, with bounded memory and patience."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agent_sandbox.agents.external.connections import OpenConnection

CHUNK_BYTES = 64 * 1024
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds to wait, at most."""

    head: float = 20.0
    """For the whole head of a request."""
    connect: float = 15.0
    """For a name to resolve, and for each address to answer."""
    idle: float = 900.0
    """For a byte in either direction: llms think long."""
    linger: float = 30.0
    """The same, when the host has said all."""


async def relay(
    connection: OpenConnection, program: Ends, remote: Ends, patience: Patience, *, half_open: bool
) -> None:
    """Pass on until both have said all, one is gone, or nobody has said anything for too long.

    half_open: the program may go on when the host has said all, as in a tunnel. Memory: what fits
    into the buffers of two streams, since each side is read only as fast as the other one takes.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(patience.idle) as clock:

            def passed(seconds: float) -> None:
                clock.reschedule(loop.time() + seconds)

            async def outward() -> None:
                while data := await program[0].read(CHUNK_BYTES):
                    remote[1].write(data)
                    await remote[1].drain()
                    connection.bytes_out += len(data)
                    passed(patience.idle)
                remote[1].write_eof()

            async def inward() -> None:
                while data := await remote[0].read(CHUNK_BYTES):
                    program[1].write(data)
                    await program[1].drain()
                    connection.bytes_in += len(data)
                    passed(patience.idle)
                program[1].write_eof()
                passed(patience.linger)

            await _both(asyncio.create_task(outward()), asyncio.create_task(inward()), half_open)
    except OSError:  # a time-out is one too
        return


async def _both(outward: asyncio.Task[None], inward: asyncio.Task[None], half_open: bool) -> None:
    """Until both are through, or one fails; unless `half_open`, until nothing more comes in."""
    try:
        await (asyncio.gather(outward, inward) if half_open else inward)
    finally:
        outward.cancel()
        inward.cancel()
        await asyncio.gather(outward, inward, return_exceptions=True)
