"""A real server with its streams, and a door to it, straight or over a wire: where bridges are tested."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actors.runtime.nats.layout import MAIL, OUT, furnish
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import NatsPost
from bridges.bridge import Door
from protocol.address import Address, out, room
from protocol.chat import Card
from protocol.envelope import Envelope, Mark, letter
from tests.runtime.wire import Wire
from tests.server import Server

SHOP = Address("account", "shop")


@dataclass
class Street:
    """A server, somebody who sees all of it, and a door."""

    server: Server
    link: Link
    door: Door
    says: int = field(default=0)

    async def count(self, stream: str = MAIL) -> int:
        return (await self.link.api(f"STREAM.INFO.{stream}")).number("state", "messages")

    async def unshown(self) -> int:
        return await self.count(OUT)

    async def say(self, name: str, *cards: Card, mark: Mark | None = None) -> None:
        """Send cards to a room, as its actor does; the ids are new, so that the server takes each for another."""
        self.says += 1
        letters = tuple(letter(card, f"c{self.says}.{number}") for number, card in enumerate(cards))
        who = room(self.door.name, name)
        await NatsPost(self.link).send(out(who), Envelope(who, letters, mark=mark))


@asynccontextmanager
async def street(folder: Path, name: str = "cli", **facts: float) -> AsyncIterator[Street]:
    with Server(folder) as server:
        link = await connect(Login(server.url, "test"))
        try:
            await furnish(link)
            yield Street(server, link, Door(link, name, **facts))
        finally:
            await link.close()


@asynccontextmanager
async def door_over(wire: Wire, name: str = "cli", **facts: float) -> AsyncIterator[Door]:
    link = await connect(Login(wire.url, name))
    try:
        yield Door(link, name, **facts)
    finally:
        await link.close()


def card(text: str, id_: str = "c", revision: int = 1, **facts: object) -> Card:
    return Card(id=id_, revision=revision, text=text, **facts)
