"""A server and one host of the runtime in this process, with the cast of the benchmarks."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import uvloop

from actors.runtime.collector import spare_collector
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import open_ports
from actors.runtime.ports import Ports
from actors.runtime.supervisor import Supervisor
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.message import Message
from tests.bench.relay import Course, cast
from tests.server import Server

DOOR = Address("door", "bench")


@dataclass
class House:
    server: Server
    link: Link
    ports: Ports
    course: Course
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def say(self, to: Address, message: Message) -> int:
        return await self.ports.post.send(to, Envelope(DOOR, (letter(message, f"m{next(self.numbers)}"),)))

    @asynccontextmanager
    async def host(self) -> AsyncIterator[Supervisor]:
        """Run a host; it is gone at the end, and its actors rest in the store."""
        supervisor = Supervisor(cast(self.course), self.ports)
        task = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
        finally:
            task.cancel()
            await asyncio.wait([task])


def lazy(folder: Path) -> Server:
    """Return a server that writes to the disk every two minutes, where what the disk takes is not to be measured."""
    server, conf = Server(folder), folder / "server.conf"
    conf.write_text(conf.read_text().replace("sync_interval: always", "sync_interval: 2m"))
    return server


@asynccontextmanager
async def house(folder: Path, server_in: Callable[[Path], Server] = Server) -> AsyncIterator[House]:
    with server_in(folder) as server:
        link = await connect(Login(server.url, "bench"))
        try:
            yield House(server, link, await open_ports(link), Course())
        finally:
            await link.close()


def run(story: Coroutine) -> list:
    """Run as the host runs, without a word in between."""
    spare_collector()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    return uvloop.run(story)


async def side_by_side(count: int, deed: Callable[[int], Coroutine], at_once: int = 64) -> None:
    """Do something for each number below ``count``, so many of them at a time."""
    rest = iter(range(count))

    async def work() -> None:
        for number in rest:
            await deed(number)

    await asyncio.gather(*(work() for _ in range(at_once)))
