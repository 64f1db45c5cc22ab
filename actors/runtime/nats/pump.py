"""Reads a consumer so that nothing is lost: deliveries without a gap, or none.

Consumer sequences are contiguous. A gap, a connection that was lost, deliveries dropped by the client or a new pin mean
that something may be missing: then nothing is accepted, the consumer is reset to its ack floor, and deliveries are
dropped until consumer sequence 1 comes. If it does not come within ``PATIENCE``, the consumer is reset again.
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
EXPIRES = 1.0
"""Seconds for which one request for messages is open: shorter than the pin, so that an idle reader keeps it."""
PATIENCE = 2.0
GROUP = "host"

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

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        self.inbox = self.link.client.new_inbox()
        subscription = await self.link.client.subscribe(self.inbox, cb=self._heard)
        if self.pinned:
            await self._unpin()
        await self._reset()
        try:
            while True:
                await asyncio.sleep(EXPIRES / 4)
                if self.expected == 0 and loop.time() - self.reset_at > PATIENCE:
                    await self._reset()
                elif loop.time() - self.asked > EXPIRES * 1.25:
                    self.left = 0
                    await self._pull()
        finally:
            for task in self._tasks:
                task.cancel()
            if self.link.client.is_connected:
                await subscription.unsubscribe()

    async def _heard(self, msg: Msg) -> None:
        self.hear(msg)

    def doubt(self) -> None:
        """Something may be missing: accept nothing until it has come again."""
        if self.expected:
            self.expected = 0
            self.reset_at = asyncio.get_running_loop().time()
            self._later(self._reset())

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
        if self.expected or status != "423":
            self._later(self._pull())

    async def _pull(self) -> None:
        if self.left >= BATCH // 2:
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
        self.reset_at = asyncio.get_running_loop().time()
        self.resets += 1
        try:
            await self.link.api(f"CONSUMER.RESET.{self.stream}.{self.consumer}")
        except CarError as error:
            log.warning("reset", consumer=self.consumer, error=str(error))
            return
        await self._pull()

    async def _unpin(self) -> None:
        try:
            await self.link.api(f"CONSUMER.UNPIN.{self.stream}.{self.consumer}", {"group": GROUP})
        except Unreachable as error:
            log.warning("unpin", consumer=self.consumer, error=str(error))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def read(link: Link, pumps: tuple[Pump, ...]) -> None:
    """Run pumps side by side until cancelled."""

    def doubt() -> None:
        for pump in pumps:
            pump.doubt()

    link.on_return.append(doubt)
    link.on_loss.append(doubt)
    try:
        async with asyncio.TaskGroup() as group:
            for pump in pumps:
                group.create_task(pump.run())
    finally:
        link.on_return.remove(doubt)
        link.on_loss.remove(doubt)
