"""The one contract of every bridge, the one loop, and the one door to the runtime.

A bridge hears people and shows cards. It decides nothing and knows no flow, ticket or agent: what it hears goes to the
actor of its room, what it shows comes from there.
"""

import asyncio
import contextlib
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from nats.aio.msg import Msg

from actors.runtime.nats.ask import ask
from actors.runtime.nats.layout import EVENT, OUT, consumer, hire
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.log import follow
from actors.runtime.nats.ports import NatsPost
from actors.runtime.nats.pump import Item, Pump, read
from actors.runtime.nats.server import CONFIG, equip, login, settle
from actors.runtime.place import FULL, Hub, free
from actors.runtime.settings import read_settings
from protocol.address import Address, out, room
from protocol.chat import Card, Left, Pressed, Said
from protocol.envelope import Envelope, letter, unpack
from protocol.errors import CarError, Full, Refused, Unreachable, Unreadable
from protocol.message import Command, Message, Query
from protocol.node import Refusal

PATIENCE = 60.0
"""Seconds for which the answer to a command is awaited."""
UNUSED = 3600
"""Seconds after which the server forgets who read the cards of a room."""
_BEAT = 0.5
_SECRET = re.compile(r"//[^/@]*@")


class Heard(NamedTuple):
    """What a person did in a room. ``id`` is the network's own, so that the same update twice is one."""

    room: str
    person: str
    what: Said | Pressed | Left
    id: str


class Seen(NamedTuple):
    """One event as it is kept: whose it is, and its sequence, from which a reader may go on."""

    seq: int
    sender: Address
    event: Message


class Bridge(Protocol):
    """Carries lines one way and cards the other."""

    name: str

    def hear(self) -> AsyncIterator[Heard]:
        """Yield what people say, until they leave."""

    async def show(self, room_: str, card: Card) -> None:
        """Show a card in a room, in the place of the one that bears its id. Return when it is surely there."""

    async def live(self, room_: str, card: Card, words: str) -> None:
        """Show what an agent is just writing below a card."""


@dataclass(frozen=True, slots=True)
class Door:
    """The way into the runtime, for whoever is outside of it. ``hub`` is where its server stores what it is told."""

    link: Link
    name: str
    hub: Hub | None = None

    @property
    def me(self) -> Address:
        """Say who we are."""
        return Address("door", self.name)

    async def tell(self, to: Address, message: Message, id_: str, person: str, inbox: str = "") -> int:
        """Say something to an actor; when this returns it is stored. Return its sequence in the mailbox stream."""
        self._want_room()
        envelope = Envelope(self.me, (letter(message, id_),), person=person, inbox=inbox)
        try:
            return await NatsPost(self.link).send(to, envelope)
        except Full as error:
            raise Refused(f"{to} has more to do than it can hold; try again in a moment") from error

    async def command(self, to: Address, command: Command, person: str, patience: float = PATIENCE) -> Message:
        """Command an actor and return its answer; raise ``Refused`` with its reason."""
        inbox = self.link.client.new_inbox()
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        async def hear(msg: Msg) -> None:
            if not answer.done():
                answer.set_result(unpack(msg.headers or {}, msg.data).letters[0].open())

        subscription = await self.link.client.subscribe(inbox, cb=hear)
        try:
            await self.tell(to, command, secrets.token_hex(8), person, inbox)
            async with asyncio.timeout(patience):
                return _unless_refused(await answer)
        except TimeoutError as error:
            raise Unreachable(f"{to} has taken the command but not answered within {patience:.0f} s") from error
        finally:
            await subscription.unsubscribe()

    async def ask(self, to: Address, query: Query, seen: int = 0) -> Message:
        """Ask an actor; raise ``Unreachable`` where no host is alive."""
        self._want_room()
        try:
            answer = await ask(self.link, self.me, to, query, seen)
        except Unreachable as error:
            raise Unreachable("no host of CAR is alive here, type: car up") from error
        return _unless_refused(answer)

    def _want_room(self) -> None:
        """Say it where nothing can be stored: what is remembered is true then, but nothing moves."""
        if self.hub and free(self.hub.nats) < FULL:
            raise Unreachable(f"the disk of {self.hub.root} is full: make room there, and everything goes on by itself")

    async def events(self, subject: str = "car.event.>", start: int = 1) -> AsyncIterator[Seen]:
        """Yield the facts that are kept, from a sequence on, for ever; those of a newer version are passed over."""
        async for entry in follow(self.link, EVENT, subject, start):
            try:
                envelope = unpack(entry.headers, entry.data)
                seen = Seen(entry.seq, envelope.sender, envelope.letters[0].open())
            except Unreadable:
                continue
            yield seen

    async def last_event(self) -> int:
        """Return the sequence of the newest fact."""
        return await self.link.newest(EVENT, "car.event.>")

    async def until_away(self, patience: float) -> None:
        """Return once the server has been away for so many seconds."""
        away = 0.0
        while away < patience:
            await asyncio.sleep(_BEAT)
            away = 0.0 if self.link.client.is_connected else away + _BEAT

    @contextlib.asynccontextmanager
    async def words(self, whose: Address, show: Callable[[str], Awaitable[None]]) -> AsyncIterator[None]:
        """Hand over what somebody is just writing, as long as the context lasts."""

        async def hear(msg: Msg) -> None:
            await show(msg.data.decode(errors="replace"))

        subscription = await self.link.client.subscribe(whose.subject("live"), cb=hear)
        try:
            yield
        finally:
            if self.link.client.is_connected:
                await subscription.unsubscribe()

    async def cards(self, room_: str, show: Callable[[Card], Awaitable[None]]) -> None:
        """Show the cards of a room in order, each acknowledged when it is shown, until cancelled."""
        name = room(self.name, room_)
        waiting: asyncio.Queue[Item] = asyncio.Queue()
        durable = f"{self.name}-{name.key}"
        config = consumer(durable, f"car.out.{out(name).key}")
        await hire(self.link, OUT, {**config, "inactive_threshold": UNUSED * 1_000_000_000})
        reading = asyncio.get_running_loop().create_task(
            read(self.link, (Pump(self.link, OUT, durable, waiting.put_nowait),))
        )
        shown: dict[str, int] = {}
        try:
            while True:
                item = await waiting.get()
                for card in _cards(item):
                    if card.revision > shown.get(card.id, 0):
                        await show(card)
                        shown[card.id] = card.revision
                await self.link.say(item.msg.reply, b"+ACK")
        finally:
            reading.cancel()


@contextlib.asynccontextmanager
async def open_door(hub: Hub, name: str, wait: float = 3.0) -> AsyncIterator[Door]:
    """Connect to the runtime of a hub; raise ``Unreachable`` where nothing answers."""
    try:
        link = await connect(login(hub, name), wait=wait)
    except Unreachable as error:
        raise Unreachable(f"{_SECRET.sub('//', str(error))}; type: car up") from error
    try:
        yield Door(link, name, hub if embeds(hub) else None)
    finally:
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
    return _SECRET.sub("//", login(hub, "cli").url)


def agents(hub: Hub | None) -> frozenset[str]:
    """Return the agents that the settings of a hub name; there are others that need no setting."""
    return frozenset(read_settings(hub.root).agents) if hub else frozenset()


async def carry(bridge: Bridge, door: Door, room_: str) -> None:
    """Be the loop of a bridge with one room: carry both ways until its people leave."""
    following: dict[str, asyncio.Task[None]] = {}

    async def show(card: Card) -> None:
        if old := following.pop(card.id, None):
            old.cancel()
        await bridge.show(room_, card)
        if card.live:
            following[card.id] = asyncio.get_running_loop().create_task(_follow(bridge, door, room_, card))

    loop = asyncio.get_running_loop()
    both = (loop.create_task(door.cards(room_, show)), loop.create_task(_hear(bridge, door)))
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in (*both, *following.values()):
            task.cancel()
        await asyncio.gather(*both, *following.values(), return_exceptions=True)


async def _hear(bridge: Bridge, door: Door) -> None:
    """Hand over what people say; what cannot be handed over they are told at once."""
    async for heard in bridge.hear():
        try:
            await door.tell(room(door.name, heard.room), heard.what, heard.id, f"{door.name}:{heard.person}")
        except CarError as error:
            text = f"This was not sent: {error}"
            await bridge.show(heard.room, Card(id=heard.id, revision=1, text=text, tone="bad", final=True))


async def _follow(bridge: Bridge, door: Door, room_: str, card: Card) -> None:
    """Show what an agent is writing, at most twice a second."""
    newest: list[str] = []

    async def keep(words: str) -> None:
        newest[:] = [words]

    if card.live is None:
        return
    async with door.words(card.live, keep):
        while True:
            await asyncio.sleep(0.5)
            if newest:
                await bridge.live(room_, card, newest.pop())


def _cards(item: Item) -> tuple[Card, ...]:
    try:
        letters = unpack(item.msg.headers or {}, item.msg.data).letters
        return tuple(card for card in (one.open() for one in letters) if isinstance(card, Card))
    except Unreadable:
        return ()


def _unless_refused(message: Message) -> Message:
    if isinstance(message, Refusal):
        raise Unreachable(message.text) if message.unable else Refused(message.text)
    return message
