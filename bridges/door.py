"""The one door to the runtime: what is said goes in here, and answers, cards, events and live words come out."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from nats.aio.msg import Msg

from actors.runtime.nats.ask import inquire
from actors.runtime.nats.layout import EVENT
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import follow
from actors.runtime.place import Hub
from bridges.gallery import Gallery, Hang
from bridges.letterbox import TRIES, Doubtful, Letterbox, Memory
from bridges.shown import Show
from bridges.vigil import listening
from protocol.address import Address, room
from protocol.chat import Card
from protocol.envelope import Envelope, letter, unpack
from protocol.errors import Refused, Unreachable, Unreadable
from protocol.message import Command, Message, Query
from protocol.node import Refusal

PATIENCE = 60.0
"""Seconds for which the answer to a command is awaited."""
_BEAT = 0.5


class Seen(NamedTuple):
    """One event as it is kept: whose it is, and its sequence, from which a reader may go on."""

    seq: int
    sender: Address
    event: Message


@dataclass(frozen=True, slots=True)
class Door:
    """The way into the runtime, for whoever is outside of it. ``hub`` is where its server stores what it is told."""

    link: Link
    name: str
    hub: Hub | None = None
    tries: float = TRIES
    memory: Memory = field(default_factory=Memory)

    @property
    def me(self) -> Address:
        """Say who we are."""
        return Address("door", self.name)

    async def tell(self, to: Address, message: Message, id_: str, person: str, inbox: str = "") -> int:
        """Say something to an actor; when this returns it is stored. Return its sequence in the mailbox stream.

        ``Refused``, and any ``Unreachable`` but ``Doubtful``, mean that it was not stored. The same id twice is one.
        """
        envelope = Envelope(self.me, (letter(message, id_),), person=person, inbox=inbox)
        seq = await self._box.store(to, envelope)
        self.memory.note(to, seq, self._wire)
        return seq

    async def command(self, to: Address, command: Command, person: str, patience: float = PATIENCE) -> Message:
        """Command an actor and return its answer; raise ``Refused`` with its reason."""
        inbox = self.link.client.new_inbox()
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()

        async def hear(msg: Msg) -> None:
            if answer.done():
                return
            try:
                answer.set_result(unpack(msg.headers or {}, msg.data).letters[0].open())
            except Unreadable as error:
                answer.set_exception(error)

        async with listening(self.link, inbox, hear):
            try:
                await self.tell(to, command, secrets.token_hex(8), person, inbox)
            except Doubtful:
                # An answer is the proof that it was stored.
                if not answer.done():
                    raise
            try:
                async with asyncio.timeout(patience):
                    return _unless_refused(await answer)
            except TimeoutError as error:
                raise Unreachable(f"{to} has taken the command but not answered within {patience:.0f} s") from error

    async def ask(self, to: Address, query: Query) -> Message:
        """Ask an actor, which has seen by then what this door told it; raise ``Unreachable`` where no host is alive."""
        self._box.want_room()
        wire = self._wire
        try:
            answer = await inquire(self.link, self.me, to, query, self.memory.mails.get(to, ""))
        except Unreachable as error:
            raise Unreachable("no host of CAR is alive here, type: car up") from error
        if answer.epoch and wire == self._wire:
            self.memory.epoch, self.memory.wire = answer.epoch, wire
        return _unless_refused(answer.message)

    @property
    def _box(self) -> Letterbox:
        return Letterbox(self.link, f"said_{self.name}", self.hub, self.tries)

    @property
    def _wire(self) -> int:
        """Count the connections that were made anew."""
        return int(self.link.client.stats["reconnects"])

    async def events(self, subject: str = "car.event.>", start: int = 1) -> AsyncIterator[Seen]:
        """Yield the facts that are kept, from a sequence on, for ever; those of a newer version are passed over.

        A reader that was cut goes on behind the last fact that it has had: it misses none and has none twice.
        """
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

        async with listening(self.link, whose.subject("live"), hear):
            yield

    async def cards(self, room_: str, show: Show) -> None:
        """Show the cards of a room that nobody else reads, in order, until cancelled.

        Each is acknowledged when it is kept that it was shown. Raise what ends the reading: the connection that is shut
        for good, somebody else who reads, or what ``show`` raises.
        """

        async def there(_: str, card: Card, proof: str) -> str:
            return await show(card, proof)

        await Gallery(self.link, self.name, there).read_room(room(self.name, room_).key)

    async def rooms(self, show: Hang) -> None:
        """Show the cards of all rooms of this bridge, as ``cards`` does; the hosts have made a consumer for it."""
        await Gallery(self.link, self.name, show).read_all()


def _unless_refused(message: Message) -> Message:
    if isinstance(message, Refusal):
        raise Unreachable(message.text) if message.unable else Refused(message.text)
    return message
