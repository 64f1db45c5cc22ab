"""A wire that can be cut or stalled: TCP between a client and a server, on loopback."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Way = Literal["up", "down"]
"""From the client to the server, and from the server to the client."""


@dataclass(eq=False)
class _Pair:
    """One connection of a client, and ours to the server for it. ``lost`` is true where only the client is gone."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    lost: bool = False


class Wire:
    """Forwards bytes until it is cut; what is on its way then is lost, and both ends see a broken connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pairs: set[_Pair] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self._flows: dict[Way, asyncio.Event] = {"up": asyncio.Event(), "down": asyncio.Event()}
        self.flow()
        self.cuts = 0

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.flow()
        self.cut()
        if self._carrying:
            await asyncio.wait(self._carrying, timeout=1)

    def cut(self) -> None:
        """Break every connection now."""
        self.cuts += 1
        for pair in self._pairs:
            pair.near.transport.abort()
            pair.far.transport.abort()
        self._pairs.clear()

    def lose(self) -> None:
        """Break every connection for the client alone: the server talks on to nobody until the next cut."""
        self.cuts += 1
        for pair in self._pairs:
            pair.lost = True
            pair.near.transport.abort()

    def stall(self, way: Way) -> None:
        """Let nothing through in one direction; it comes when it flows again, unless the wire is cut before."""
        self._flows[way].clear()

    def flow(self) -> None:
        """Let everything through."""
        for flow in self._flows.values():
            flow.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        both = {asyncio.create_task(self._up(reader, pair)), asyncio.create_task(self._down(far_reader, pair))}
        self._carrying |= both
        await asyncio.wait(both)
        self._carrying -= both
        self._pairs.discard(pair)

    async def _up(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows["up"].wait()
                if pair.far.transport.is_closing():
                    break
                pair.far.write(data)
                await pair.far.drain()
        if not pair.lost:
            pair.far.transport.abort()

    async def _down(self, reader: asyncio.StreamReader, pair: _Pair) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows["down"].wait()
                if not pair.lost:
                    if pair.near.transport.is_closing():
                        break
                    pair.near.write(data)
                    await pair.near.drain()
        pair.near.transport.abort()
        pair.far.transport.abort()
