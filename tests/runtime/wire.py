"""A wire that can be cut: TCP between a client and a server, on loopback."""

import asyncio
from contextlib import suppress


class Wire:
    """Forwards bytes until it is cut; what is on its way then is lost, and both ends see a broken connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.cuts = 0

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Break every connection now."""
        self.cuts += 1
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    def hold(self) -> None:
        """Let nothing through from now on, and let nobody see that: as a cable that was pulled."""
        self._flows.clear()

    def release(self) -> None:
        """Let everything through again, what was held too."""
        self._flows.set()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._open |= ends
        await asyncio.gather(self._carry(reader, far_writer), self._carry(far_reader, writer))
        self._open -= ends

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
