"""The one contract of every bridge, the one loop, and the one door to the runtime.

A bridge hears people and shows cards. It decides nothing and knows no flow, ticket or agent: what it hears goes to the
actor of its room, what it shows comes from there.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from nats.errors import Error as NatsError

from actors.runtime.nats.link import connect
from actors.runtime.nats.server import CONFIG, equip, login, settle
from actors.runtime.place import Hub
from actors.runtime.settings import read_settings
from bridges.door import Door, Seen
from bridges.letterbox import Doubtful
from bridges.vigil import masked, together, unless_shut
from protocol.address import room
from protocol.chat import Card, Left, Pressed, Said
from protocol.errors import CarError, Unreachable

__all__ = [
    "Bridge",
    "Door",
    "Doubtful",
    "Heard",
    "Seen",
    "agents",
    "carry",
    "embeds",
    "equip_hub",
    "open_door",
    "server",
]

PACE = 0.5
"""Seconds between two showings of what an agent is just writing."""


class Heard(NamedTuple):
    """What a person did in a room. ``id`` is the network's own, so that the same update twice is one."""

    room: str
    person: str
    what: Said | Pressed | Left
    id: str


class Bridge(Protocol):
    """Carries lines one way and cards the other."""

    name: str

    def hear(self) -> AsyncIterator[Heard]:
        """Yield what people say, until they leave."""

    async def show(self, room_: str, card: Card, proof: str) -> str:
        """Show a card in a room; return when it is surely there, with the network's own id of it (or nothing) as proof.

        ``proof`` is what was returned for the card of the same id that this one replaces, be it before a restart, and
        nothing where it is the first of its id or the other was shown too long ago. A card may come twice, with the
        same revision, where we were cut just when it was shown. ``Unreachable`` says that the network is away: the card
        is tried again, and those behind it wait. ``Refused`` says that it can never be shown: it is passed over.
        """

    async def live(self, room_: str, card: Card, words: str) -> None:
        """Show what an agent is just writing below a card."""


@contextlib.asynccontextmanager
async def open_door(hub: Hub, name: str, wait: float = 3.0) -> AsyncIterator[Door]:
    """Connect to the runtime of a hub; raise ``Unreachable`` where nothing answers, and whenever we are shut out."""
    try:
        link = await connect(login(hub, name), wait=wait)
    except Unreachable as error:
        raise Unreachable(f"{masked(str(error))}; type: car up") from error
    try:
        async with unless_shut(link):
            yield Door(link, name, hub if embeds(hub) else None)
    finally:
        # What goes wrong when the wire is put away is nothing beside what has gone wrong before.
        with contextlib.suppress(NatsError, OSError):
            await link.close()


def embeds(hub: Hub) -> bool:
    """Tell whether a hub has a server of its own."""
    return not read_settings(hub.root).url


def equip_hub(hub: Hub, *, starts: bool = False) -> None:
    """Make the keys and the configuration of a hub's own server; one that ``starts`` now gets a port that is free."""
    if not embeds(hub):
        (hub.nats / CONFIG).unlink(missing_ok=True)
        return
    if starts or not (hub.nats / CONFIG).exists():
        equip(hub)
    if starts:
        settle(hub)


def server(hub: Hub) -> str:
    """Return where the server of a hub is, without what nobody else should know."""
    return masked(login(hub, "cli").url)


def agents(hub: Hub | None) -> frozenset[str]:
    """Return the agents that the settings of a hub name; there are others that need no setting."""
    return frozenset(read_settings(hub.root).agents) if hub else frozenset()


async def carry(bridge: Bridge, door: Door, room_: str = "") -> None:
    """Be the loop of a bridge with one room, or with all of its rooms: carry both ways until its people leave."""
    following: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def show(where: str, card: Card, proof: str) -> str:
        if old := following.pop((where, card.id), None):
            old.cancel()
        proof = await bridge.show(where, card, proof)
        if card.live:
            task = asyncio.get_running_loop().create_task(_follow(bridge, door, where, card))
            following[where, card.id] = task
        return proof

    async def show_here(card: Card, proof: str) -> str:
        return await show(room_, card, proof)

    try:
        await together(door.cards(room_, show_here) if room_ else door.rooms(show), _hear(bridge, door))
    finally:
        for task in following.values():
            task.cancel()
        await asyncio.gather(*following.values(), return_exceptions=True)


async def _hear(bridge: Bridge, door: Door) -> None:
    """Hand over what people say; what cannot be handed over they are told at once."""
    async for heard in bridge.hear():
        try:
            await door.tell(room(door.name, heard.room), heard.what, heard.id, f"{door.name}:{heard.person}")
        except Doubtful as error:
            await _complain(bridge, heard, f"This may or may not have arrived: {error}")
        except CarError as error:
            await _complain(bridge, heard, f"This was not sent: {error}")


async def _complain(bridge: Bridge, heard: Heard, text: str) -> None:
    await bridge.show(heard.room, Card(id=heard.id, revision=1, text=text, tone="bad", final=True), "")


async def _follow(bridge: Bridge, door: Door, room_: str, card: Card) -> None:
    """Show what an agent is writing, at most twice a second, and do nothing while it writes nothing."""
    newest: list[str] = []
    came = asyncio.Event()

    async def keep(words: str) -> None:
        newest[:] = [words]
        came.set()

    if card.live is None:
        return
    async with door.words(card.live, keep):
        while True:
            await came.wait()
            came.clear()
            await bridge.live(room_, card, newest[0])
            await asyncio.sleep(PACE)
