"""Reads a consumer so that nothing is lost: deliveries without a gap, or none.

Consumer sequences are contiguous. A gap, a connection that was lost, deliveries dropped by the client or a new pin mean
that something may be missing: then nothing is accepted, the consumer is reset to its ack floor, and deliveries are
dropped until consumer sequence 1 comes. If that does not come within ``PATIENCE``, though the server has sent it, the
consumer is reset again.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from nats.aio.msg import Msg

from actors.runtime.nats.link import Link
from protocol.errors import CarError, Unreachable

BATCH = 256
BEAT = 0.25
EXPIRES = 1.0
"""Seconds for which one request for messages is open: shorter than the pin, so that an idle reader keeps it."""
PATIENCE = 2.0
GROUP = "host"
_EXPIRED = ("404", "408")
"""What the server says when a request for messages is over; after anything else the next request waits for a beat."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Item:
    """One message of a stream: its sequence there, when the server stored it, and how it is acknowledged."""

    msg: Msg
    seq: int
    at: datetime


@dataclass
class Pump:
    """Reads one consumer, in order."""

    link: Link
    stream: str
    consumer: str
    take: Callable[[Item], None]
    pinned: bool = False
    pin: str = ""
    expected: int = 0
    """The consumer sequence that comes next; 0 while nothing is accepted until 1 comes."""
    left: int = 0
    asked: float = 0.0
    reset_at: float = 0.0
    resets: int = 0
    inbox: str = ""
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _resetting: "asyncio.Task[None] | None" = None

    async def run(self) -> None:
        """Read until cancelled."""
        self.inbox = self.link.client.new_inbox()
        subscription = await self.link.client.subscribe(self.inbox, cb=self._heard)
        if self.pinned:
            await self._unpin()
        self.begin()
        try:
            while True:
                await asyncio.sleep(BEAT)
                if self.link.client.is_connected:
                    await self._beat()
        finally:
            for task in self._tasks:
                task.cancel()
            if not self.link.client.is_closed:
                await subscription.unsubscribe()

    async def _beat(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._waits() and now - self.reset_at > PATIENCE:
            await self._look()
        elif self.left <= 0 or now - self.asked > EXPIRES * 1.25:
            self.left = 0
            await self._pull()

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
        if status := (msg.headers or {}).get("Status"):
            self._status(status)
            return
        _, _, _, seq, number, stamp, _ = msg.reply.rsplit(".", 6)
        pin = (msg.headers or {}).get("Nats-Pin-Id", "")
        if self.expected == 0:
            if int(number) != 1:
                return
            self.pin, self.expected = pin, 1
        if int(number) != self.expected or pin != self.pin:
            log.warning("a gap", stream=self.stream, consumer=self.consumer, expected=self.expected, came=number)
            self.doubt()
            return
        self.expected += 1
        self.left -= 1
        if self.left < BATCH // 2:
            self._later(self._pull())
        self.take(Item(msg, int(seq), datetime.fromtimestamp(int(stamp) / 1e9, UTC)))

    def _status(self, status: str) -> None:
        if status == "423":
            self.pin = ""
            self.doubt()
        self.left = 0
        if status in _EXPIRED:
            self._later(self._pull())

    async def _pull(self) -> None:
        # What is written while the server is away would all be sent when it is back.
        if self.left >= BATCH // 2 or not self.link.client.is_connected:
            return
        request: dict[str, object] = {"batch": BATCH, "expires": int(EXPIRES * 1e9)}
        if self.pinned:
            request["group"] = GROUP
            if self.pin:
                request["id"] = self.pin
        self.left += BATCH
        self.asked = asyncio.get_running_loop().time()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.consumer}"
        try:
            await self.link.client.publish(subject, json.dumps(request).encode(), reply=self.inbox)
        except Exception as error:  # noqa: BLE001  # whatever the wire says: the next beat asks again
            log.debug("pull", error=str(error))

    async def _reset(self) -> None:
        self.expected, self.left, self.pin = 0, 0, ""
        self.resets += 1
        try:
            await self.link.api(f"CONSUMER.RESET.{self.stream}.{self.consumer}")
        except CarError as error:
            log.warning("reset", consumer=self.consumer, error=str(error))
        else:
            await self._pull()
        finally:
            self.reset_at = asyncio.get_running_loop().time()

    async def _look(self) -> None:
        """Reset again, but not where nothing was delivered: most readers are idle, and a reset writes to the disk."""
        try:
            found = await self.link.api(f"CONSUMER.INFO.{self.stream}.{self.consumer}")
        except CarError as error:
            log.warning("look", consumer=self.consumer, error=str(error))
            found = None
        self.reset_at = asyncio.get_running_loop().time()
        if self._waits() and (found is None or found.number("delivered", "consumer_seq")):
            self.begin()

    async def _unpin(self) -> None:
        try:
            await self.link.api(f"CONSUMER.UNPIN.{self.stream}.{self.consumer}", {"group": GROUP})
        except Unreachable as error:
            log.warning("unpin", consumer=self.consumer, error=str(error))

    def _later(self, work: Coroutine[None, None, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def read(link: Link, pumps: tuple[Pump, ...]) -> None:
    """Run pumps side by side until cancelled."""

    def doubt() -> None:
        for pump in pumps:
            pump.doubt()

    def begin() -> None:
        for pump in pumps:
            pump.begin()

    link.on_return.append(begin)
    link.on_loss.append(doubt)
    try:
        async with asyncio.TaskGroup() as group:
            for pump in pumps:
                group.create_task(pump.run())
    finally:
        link.on_return.remove(begin)
        link.on_loss.remove(doubt)
