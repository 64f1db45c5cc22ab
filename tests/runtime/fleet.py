"""Several hosts on one server, each with a connection, a lease and a cast of its own."""

import asyncio
import itertools
import json
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path

from actors.runtime.nats.layout import DEAD, EVENT, MAIL, SHARDS
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import House, NatsPost, NatsStore, open_house, shard_of
from actors.runtime.nats.roster import new_lease
from actors.runtime.ports import Ports
from actors.runtime.supervisor import Cast, Supervisor
from protocol.address import Address
from protocol.envelope import Envelope, letter, unpack
from protocol.message import Message
from tests.server import Server, until

DOOR = Address("door", "test")
SEATS = SHARDS + 1
"""All shards, and the timers that have fired."""


class Host:
    """One host, in this process."""

    def __init__(self, link: Link, house: House, supervisor: Supervisor) -> None:
        self.link, self.house, self.supervisor = link, house, supervisor
        self.task = asyncio.create_task(self.supervisor.run())

    def reads(self, me: Address) -> bool:
        """Tell whether it reads the mail of an address."""
        return f"s{shard_of(me)}" in self.house.usher.held

    async def leave(self) -> None:
        """End as by SIGTERM: others take over, what is in hand is finished."""
        await self.house.usher.drain()
        assert await self.supervisor.finish(5)
        await self.house.usher.vacate()
        await self.stop()

    async def stop(self) -> None:
        """End as by SIGKILL, but for the lease."""
        self.supervisor.abort()
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.link.close()


class Fleet:
    """The outside of them: starts hosts, says, and looks at what is kept."""

    def __init__(self, server: Server, link: Link) -> None:
        self.server, self.link = server, link
        self.post = NatsPost(link)
        self.hosts: list[Host] = []
        self._ids = itertools.count(1)

    async def host(self, cast: Cast, release: str, wrapped: Callable[[Ports], Ports] = lambda ports: ports) -> Host:
        """Begin a host of a release, on a machine of its own; its ports may be ``wrapped`` into others."""
        link = await connect(Login(self.server.url, f"h{len(self.hosts)}"))
        reads = {kind: actor.version for kind, actor in cast.items()}
        house = await open_house(link, new_lease(f"n{len(self.hosts)}", reads, release))
        self.hosts.append(Host(link, house, Supervisor(cast, wrapped(house.ports))))
        return self.hosts[-1]

    async def settled(self, *hosts: Host, others: int = 0) -> None:
        """Wait until these hosts (and so many elsewhere) know each other, and every seat has a reader."""
        count = len(hosts) + others
        await until(lambda: all(len(one.house.roster.hosts) == count for one in hosts))
        if not others:
            await until(lambda: sum(len(one.house.usher.held) for one in hosts) == SEATS)

    async def say(self, to: Address, message: Message) -> int:
        one = letter(message, f"m{next(self._ids)}")
        return await self.post.send(to, Envelope(DOOR, (one,)))

    async def stored(self, me: Address) -> dict:
        """Return a record as it is stored."""
        found = await NatsStore(self.link, "").load(me)
        return json.loads(found.data) if found else {}

    async def quiet(self, seconds: float = 20) -> None:
        """Wait until no mail is left."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while left := (await self.link.api(f"STREAM.INFO.{MAIL}")).number("state", "messages"):
            assert loop.time() < end, f"{left} mails are left"
            await asyncio.sleep(0.02)

    async def told(self, me: Address) -> list[Message]:
        """Return the facts of an actor, in order."""
        kept = await read_all(self.link, EVENT, f"{me.subject('event')}.*")
        return [unpack(one.headers, one.data).letters[0].open() for one in kept]

    async def dead(self) -> list[tuple[str, str]]:
        """Return where each dead letter was going, and why it lies there."""
        kept = await read_all(self.link, DEAD, "car.dead.>")
        return [(one.headers["Car-To"], one.headers["Car-Why"]) for one in kept]


@asynccontextmanager
async def fleet(folder: Path):
    """Open a server for several hosts; end all of them afterwards."""
    with Server(folder) as server:
        link = await connect(Login(server.url, "outside"))
        one = Fleet(server, link)
        try:
            yield one
        finally:
            for host in one.hosts:
                if not host.task.done():
                    await host.stop()
            await link.close()
