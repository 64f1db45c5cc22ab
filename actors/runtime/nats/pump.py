"""Reads a consumer so that nothing is lost: deliveries without a gap, or none.

Consumer sequences are contiguous. A gap, a connection that was lost or deliveries dropped by the client mean that
something may be missing: then nothing is accepted, the consumer is reset to its ack floor, and deliveries are dropped
until consumer sequence 1 comes. If that does not come within ``PATIENCE``, though the server has sent it, the consumer
is reset again.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from actors.runtime.nats.layout import Json, hire
from actors.runtime.nats.link import Link
from protocol.errors import CarError

BATCH = 256
BEAT = 0.25
TEND = 0.5
"""Seconds between two looks at whether all readers have asked for messages."""
EXPIRES = 30.0
"""Seconds for which one request for messages is open: an idle reader costs next to nothing."""
PATIENCE = 2.0
LONGEST = 32.0
"""Seconds between two looks at a consumer that has never delivered: most are idle."""
_EXPIRED = ("404", "408")
"""What the server says when a request for messages is over; after anything else the next request waits for a beat."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a stream: its sequence there, when the server stored it, and how it is acknowledged."""

    msg: Msg
    seq: int
    at: datetime


def _nothing() -> None:
    """Whoever does not mind."""


@dataclass
class Pump:
    """Reads one consumer, in order. ``on_gone`` is told when the server says that there is no such consumer."""

    link: Link
    stream: str
    consumer: str
    take: Callable[[Item], None]
    on_gone: Callable[[], None] = _nothing
    expected: int = 0
    """The consumer sequence that comes next; 0 while nothing is accepted until 1 comes."""
    left: int = 0
    asked: float = 0.0
    reset_at: float = 0.0
    patience: float = PATIENCE
    resets: int = 0
    inbox: str = ""
    is_shut: bool = False
    _subscription: Subscription | None = None
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _resetting: "asyncio.Task[None] | None" = None

    async def open(self, *, fresh: bool = False) -> None:
        """Begin to read; a ``fresh`` consumer was made just now, and needs no reset."""
        self.inbox = self.link.client.new_inbox()
        self._subscription = await self.link.client.subscribe(self.inbox, cb=self._heard)
        if fresh:
            self.reset_at = asyncio.get_running_loop().time()
            await self._pull()
        else:
            self.begin()

    def shut(self) -> None:
        """Take nothing more, from now on: what still comes would overtake what is let go."""
        self.is_shut = True

    async def close(self) -> None:
        """Read no more."""
        self.shut()
        for task in self._tasks:
            task.cancel()
        subscription, self._subscription = self._subscription, None
        if subscription and not self.link.client.is_closed:
            await subscription.unsubscribe()

    def beat(self) -> None:
        """Look whether all goes on: to be called now and then."""
        if self._subscription is None or not self.link.client.is_connected:
            return
        now = asyncio.get_running_loop().time()
        if self._waits() and now - self.reset_at > self.patience:
            self.reset_at, self.patience = now, min(self.patience * 2, LONGEST)
            self._later(self._look())
        elif self.left <= 0 or now - self.asked > EXPIRES * 1.25:
            self.left = 0
            self._later(self._pull())

    def _waits(self) -> bool:
        """Tell whether the consumer is reset and its first delivery has not come."""
        return self.expected == 0 and (self._resetting is None or self._resetting.done())

    async def _heard(self, msg: Msg) -> None:
        self.hear(msg)

    def doubt(self) -> None:
        """Something may be missing: accept nothing until it has come again."""
        if self.expected:
            self.begin()

    def begin(self) -> None:
        """Begin anew at the ack floor. A reset that is on its way is given up: its answer may be lost with the wire."""
        self.expected = 0
        if self._resetting is not None:
            self._resetting.cancel()
        self._resetting = self._later(self._reset())

    def hear(self, msg: Msg) -> None:
        """Take in one message of the inbox: a delivery, or a word of the server."""
        if self.is_shut:
            return
        if not msg.reply:
            # A word of the server. What lies in a stream may bear any header, also one that looks like such a word.
            self._status((msg.headers or {}).get("Status", ""), (msg.headers or {}).get("Description", ""))
            return
        _, _, _, seq, number, stamp, _ = msg.reply.rsplit(".", 6)
        self.left -= 1  # also what is dropped was asked for
        if self.expected == 0:
            if int(number) != 1:
                return
            self.expected = 1
        if int(number) != self.expected:
            log.warning("a gap", stream=self.stream, consumer=self.consumer, expected=self.expected, came=number)
            self.doubt()
            return
        self.expected += 1
        if self.left < BATCH // 2:
            self._later(self._pull())
        self.take(Item(msg, int(seq), datetime.fromtimestamp(int(stamp) / 1e9, UTC)))

    def _status(self, status: str, what: str) -> None:
        self.left = 0
        if status in _EXPIRED:
            self._later(self._pull())
        elif status == "503" or "Consumer Deleted" in what:
            self.on_gone()

    async def _pull(self) -> None:
        # What is written while the server is away would all be sent when it is back.
        if self.left >= BATCH // 2 or not self.link.client.is_connected:
            return
        request = {"batch": BATCH, "expires": int(EXPIRES * 1e9)}
        self.left += BATCH
        self.asked = asyncio.get_running_loop().time()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}"
        try:
            await self.link.client.publish(subject, json.dumps(request).encode(), reply=self.inbox)
        except Exception as error:  # noqa: BLE001  # whatever the wire says: the next beat asks again
            log.debug("pull", error=str(error))

    async def _reset(self) -> None:
        self.expected, self.left, self.patience = 0, 0, PATIENCE
        self.resets += 1
        while True:
            try:
                found = await self.link.find(f"CONSUMER.RESET.{self.stream}.{self.consumer}", None, PATIENCE)
            except CarError as error:
                log.debug("reset", consumer=self.consumer, error=str(error))
                await asyncio.sleep(BEAT)
            else:
                break
        self.reset_at = asyncio.get_running_loop().time()
        if found is None:
            self.on_gone()
        else:
            await self._pull()

    async def _look(self) -> None:
        """Reset again, but not where nothing was delivered: most readers are idle, and a reset costs the server."""
        try:
            found = await self.link.find(f"CONSUMER.INFO.{self.stream}.{self.consumer}")
        except CarError as error:
            log.warning("look", consumer=self.consumer, error=str(error))
            return
        if found is None:
            self.on_gone()
        elif self._waits() and found.number("delivered", "consumer_seq"):
            self.begin()
        elif self.left <= 0:
            await self._pull()

    def _later(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def tend(link: Link, pumps: Callable[[], tuple[Pump, ...]]) -> None:
    """Keep pumps going until cancelled, those that there are at each moment."""

    def doubt() -> None:
        for pump in pumps():
            pump.doubt()

    def begin() -> None:
        for pump in pumps():
            pump.begin()

    link.on_return.append(begin)
    link.on_loss.append(doubt)
    try:
        while True:
            await asyncio.sleep(TEND)
            for pump in pumps():
                pump.beat()
    finally:
        link.on_return.remove(begin)
        link.on_loss.remove(doubt)


async def read(link: Link, stream: str, config: dict[str, Json], take: Callable[[Item], None]) -> None:
    """Read a consumer that nobody else reads until cancelled; make it where it is missing, also in the midst."""
    name = str(config["durable_name"])
    missing = asyncio.Event()
    pump = Pump(link, stream, name, take, on_gone=missing.set)

    async def mend() -> None:
        while True:
            await missing.wait()
            missing.clear()
            await _again(lambda: hire(link, stream, config))
            pump.begin()

    await hire(link, stream, config)
    await pump.open()
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(tend(link, lambda: (pump,)))
            group.create_task(mend())
    finally:
        await pump.close()


async def _again(deed: Callable[[], Coroutine[None, None, None]]) -> None:
    while True:
        try:
            await deed()
        except CarError as error:
            log.info("waiting to read", error=str(error))
            await asyncio.sleep(BEAT)
        else:
            return
