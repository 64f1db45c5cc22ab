"""The wire of the tests does what it says: it carries, holds back one way, and breaks at one end or at both."""

import asyncio
from contextlib import asynccontextmanager

from tests.runtime.wire import Wire
from tests.server import until


class Far:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                self.got += data
                writer.write(data)
        except ConnectionError:
            pass
        self.ended += 1
        writer.close()


@asynccontextmanager
async def wired():
    far = Far()
    server = await asyncio.start_server(far.talk, "127.0.0.1", 0)
    async with Wire(server.sockets[0].getsockname()[1]) as wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(wire.url.rpartition(":")[2]))
        yield far, wire, reader, writer
        writer.transport.abort()
    server.close()


def test_what_is_stalled_on_its_way_to_the_server_comes_when_it_flows_again():
    async def run():
        async with wired() as (far, wire, reader, writer):
            wire.stall("up")
            writer.write(b"one")
            await asyncio.sleep(0.1)
            assert far.got == b""
            wire.flow()
            assert await reader.readexactly(3) == b"one"

    asyncio.run(run())


def test_what_is_stalled_on_its_way_back_has_been_heard_by_the_server():
    async def run():
        async with wired() as (far, wire, reader, writer):
            wire.stall("down")
            writer.write(b"one")
            await until(lambda: far.got == b"one")
            reading = asyncio.create_task(reader.readexactly(3))
            await asyncio.sleep(0.1)
            assert not reading.done()
            wire.flow()
            assert await reading == b"one"

    asyncio.run(run())


def test_a_wire_that_is_cut_is_broken_for_both():
    async def run():
        async with wired() as (far, wire, reader, writer):
            writer.write(b"one")
            await reader.readexactly(3)
            wire.cut()
            assert await reader.read() == b""
            await until(lambda: far.ended == 1)

    asyncio.run(run())


def test_a_client_that_is_lost_is_still_there_for_the_server_until_the_next_cut():
    async def run():
        async with wired() as (far, wire, reader, writer):
            writer.write(b"one")
            await reader.readexactly(3)
            wire.lose()
            assert await reader.read() == b""
            await asyncio.sleep(0.1)
            assert far.ended == 0
            wire.cut()
            await until(lambda: far.ended == 1)

    asyncio.run(run())
