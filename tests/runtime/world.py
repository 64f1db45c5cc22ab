"""One world for the contract suite: a host with the test cast, on memory or on a real server; it may be cut."""

import asyncio
import itertools
from contextlib import asynccontextmanager
from pathlib import Path

from actors.runtime.memory import Memory
from actors.runtime.nats.layout import DEAD, EVENT, MAIL
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import open_ports
from actors.runtime.ports import Ports
from actors.runtime.query import answer
from actors.runtime.supervisor import Supervisor
from protocol.address import Address
from protocol.envelope import Envelope, Mark, letter, unpack
from protocol.message import Message
from tests.runtime.cast import CAST, Sum, SumView
from tests.server import Server, until

DOOR = Address("door", "test")


class World:
    """The outside of a host: says, asks, and looks at what is kept."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.host: asyncio.Task[None] | None = None
        self.supervisor: Supervisor | None = None
        self._ids = itertools.count(1)

    def start(self, ports: Ports | None = None) -> None:
        self.supervisor = Supervisor(CAST, ports or self.ports)
        self.host = asyncio.create_task(self.supervisor.run())

    async def stop(self) -> None:
        """End the host as kill -9 would: nothing is finished."""
        if self.host and self.supervisor:
            self.supervisor.abort()
            self.host.cancel()
            await asyncio.wait([self.host])
            self.host = None

    async def say(
        self,
        to: str,
        message: Message,
        id_: str = "",
        mark: Mark | None = None,
        sender: Address = DOOR,
        inbox: str = "",
    ) -> int:
        one = letter(message, id_ or f"m{next(self._ids)}")
        return await self.ports.post.send(Address("account", to), Envelope(sender, (one,), mark=mark, inbox=inbox))

    async def ask(self, to: str, seen: int = 0) -> SumView:
        asked = Envelope(DOOR, (letter(Sum(), f"q{next(self._ids)}"),))
        view = await answer(CAST, self.ports.store, Address("account", to), asked, seen)
        assert isinstance(view, SumView), view
        return view

    async def numbers(self, to: str) -> tuple[int, ...]:
        return (await self.ask(to)).numbers

    async def settled(self, to: str, numbers: tuple[int, ...], seconds: float = 10.0) -> None:
        """Wait until an account holds exactly these numbers and no mail is left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (found := await self.numbers(to)) != numbers or await self.waiting():
            assert loop.time() < end, (found, await self.waiting())
            await asyncio.sleep(0.01)

    async def settled_ignoring(self, to: str, numbers: tuple[int, ...], far: Address) -> None:
        """Wait until an account holds these numbers; ``far`` is full and stays so."""
        loop = asyncio.get_running_loop()
        end = loop.time() + 15
        while (found := await self.numbers(to)) != numbers:
            assert loop.time() < end, (found, far)
            await asyncio.sleep(0.02)

    async def waiting(self) -> int:
        raise NotImplementedError

    async def events(self) -> list[Envelope]:
        raise NotImplementedError

    async def dead(self) -> list[tuple[str, str]]:
        """Return (address, name of the first message) of each dead letter."""
        raise NotImplementedError


class MemoryWorld(World):
    def __init__(self) -> None:
        self.memory = Memory()
        super().__init__(self.memory.ports)

    async def waiting(self) -> int:
        return sum(map(len, self.memory.boxes.values()))

    async def events(self) -> list[Envelope]:
        return [row for _, row in self.memory.rows]

    async def dead(self) -> list[tuple[str, str]]:
        return [(str(one.to), one.envelope.letters[0].name) for one in self.memory.dead]

    async def replies(self, inbox: str) -> list[Envelope]:
        return [envelope for to, envelope in self.memory.replies if to == inbox]


class NatsWorld(World):
    def __init__(self, link, ports: Ports) -> None:
        self.link = link
        self.got: list[Envelope] = []
        super().__init__(ports)

    async def waiting(self) -> int:
        return (await self.link.api(f"STREAM.INFO.{MAIL}")).number("state", "messages")

    async def events(self) -> list[Envelope]:
        return [unpack(kept.headers, kept.data) for kept in await read_all(self.link, EVENT, "car.event.>")]

    async def dead(self) -> list[tuple[str, str]]:
        kept = await read_all(self.link, DEAD, "car.dead.>")
        return [("/".join(one.subject.split(".")[2:]), one.headers["Car-Name"]) for one in kept]

    async def listen(self, inbox: str) -> None:
        async def hear(msg) -> None:
            self.got.append(unpack(msg.headers, msg.data))

        await self.link.client.subscribe(inbox, cb=hear)
        await self.link.client.flush()

    async def replies(self, _: str) -> list[Envelope]:
        return self.got


@asynccontextmanager
async def world(kind: str, folder: Path):
    """Open a world without a host; end all of it afterwards."""
    if kind == "memory":
        one = MemoryWorld()
        try:
            yield one
        finally:
            await one.stop()
        return
    with Server(folder) as server:
        link = await connect(Login(server.url, "test"))
        nats_world = NatsWorld(link, await open_ports(link))
        nats_world.server = server
        try:
            yield nats_world
        finally:
            await nats_world.stop()
            await link.close()


__all__ = ["MemoryWorld", "NatsWorld", "World", "until", "world"]
