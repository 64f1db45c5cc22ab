"""The cards of many rooms on their way to people: in each room in order, the rooms side by side.

A card stays with the server until it is kept that it was shown; so whatever is cut short comes again.
"""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import structlog

from actors.runtime.nats.layout import OUT, consumer
from actors.runtime.nats.link import Link
from actors.runtime.nats.pump import Item, Pump, read, tend
from bridges.shown import Wall
from bridges.vigil import together, until_shut
from protocol.address import Address, untoken
from protocol.chat import Card
from protocol.envelope import unpack
from protocol.errors import CarError, Unreachable, Unreadable

WALLS = 200
"""Rooms of which it is kept in mind what they were shown; of the others it is read when there is something new."""
UNUSED = 300.0
"""Seconds after which the server forgets who read the cards of one room."""
BEAT = 0.5

log = structlog.get_logger()

Hang = Callable[[str, Card, str], Awaitable[str]]
"""Shows a card in a room in the place of the one with this proof (or nothing); returns the proof that it is there."""


class Gallery:
    """Shows the cards of one bridge."""

    def __init__(self, link: Link, bridge: str, show: Hang) -> None:
        """Show cards by a function."""
        self._link = link
        self._bridge = bridge
        self._show = show
        self._queues: dict[str, dict[int, Item]] = {}
        self._walls: OrderedDict[str, Wall] = OrderedDict()
        self._working: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def read_room(self, key: str) -> None:
        """Read one room, which nobody else reads, until cancelled; raise what ends the reading."""
        config = consumer(f"{self._bridge}-{key}", f"car.out.{self._bridge}.{key}", unused=UNUSED)
        await self._until_failed(read(self._link, OUT, config, self._take))

    async def read_all(self) -> None:
        """Read all rooms until cancelled, by the consumer that the hosts have made; raise what ends the reading."""
        await self._until_failed(self._attend())

    async def _until_failed(self, reading: Awaitable[None]) -> None:
        async def failed() -> None:
            await self._failed

        async def reads() -> None:
            await reading

        try:
            await together(reads(), failed(), until_shut(self._link))
        finally:
            for task in self._working:
                task.cancel()
            await asyncio.gather(*self._working, return_exceptions=True)

    async def _attend(self) -> None:
        """Read the consumer that bears the bridge's name, and wait for it where it is missing."""
        missing = asyncio.Event()
        pump = Pump(self._link, OUT, self._bridge, self._take, on_gone=missing.set)

        async def mend() -> None:
            while True:
                await missing.wait()
                await self._until_there()
                missing.clear()
                pump.begin()

        await self._until_there()
        await pump.open()
        try:
            await together(tend(self._link, lambda: (pump,)), mend())
        finally:
            await pump.close()

    async def _until_there(self) -> None:
        while True:
            try:
                if await self._link.find(f"CONSUMER.INFO.{OUT}.{self._bridge}"):
                    return
            except CarError as error:
                log.info("waiting for cards", bridge=self._bridge, error=str(error))
            await asyncio.sleep(BEAT)

    def _take(self, item: Item) -> None:
        key = item.msg.subject.rpartition(".")[2]
        if key in self._queues:
            # What takes long is delivered again meanwhile: the newest delivery is acknowledged, in its turn.
            self._queues[key][item.seq] = item
            return
        self._queues[key] = {item.seq: item}
        task = asyncio.get_running_loop().create_task(self._work(key))
        self._working.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) and not self._failed.done():
            self._failed.set_exception(error)

    async def _work(self, key: str) -> None:
        """Show what waits for one room."""
        wall = await self._wall(key)
        queue = self._queues[key]
        while queue:
            seq = next(iter(queue))
            await self._hang(wall, queue[seq])
            # One that is lost lets the cards come again, and they are passed over then.
            with contextlib.suppress(Unreachable):
                await self._link.say(queue.pop(seq).msg.reply, b"+ACK")
        del self._queues[key]

    async def _hang(self, wall: Wall, item: Item) -> None:
        try:
            envelope = unpack(item.msg.headers or {}, item.msg.data)
        except Unreadable as error:
            # It is none of ours and could never be shown.
            log.warning("a card cannot be read", subject=item.msg.subject, error=str(error))
        else:
            await wall.hang(envelope)

    async def _wall(self, key: str) -> Wall:
        if wall := self._walls.pop(key, None):
            self._walls[key] = wall
            return wall

        async def show(card: Card, proof: str) -> str:
            return await self._show(untoken(key), card, proof)

        wall = Wall(self._link, Address("out", f"{self._bridge}.{key}"), show)
        await wall.read()
        self._walls[key] = wall
        if len(self._walls) > WALLS:
            self._walls.popitem(last=False)
        return wall
