"""What one host at a time reads: a shard of the mailboxes, the timers that have fired, the commands of a worker.

Each seat is read through a consumer of its reader's own, ``<seat>-<lease>``. Two consumers with the same filter cannot
be on a work queue, so whoever takes a seat deletes the other's first: a host that was frozen, and wakes, has nothing to
read from any more. A new consumer begins with what is not acknowledged, in order.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from actors.runtime.nats.answer import Found
from actors.runtime.nats.layout import consumer
from actors.runtime.nats.link import Link
from actors.runtime.nats.pump import Item, Pump, tend
from actors.runtime.nats.roster import Roster
from actors.runtime.placement import owner
from protocol.address import token
from protocol.errors import CarError

AGAIN = 0.2
"""Seconds before a seat is taken again that was lost without a reason that we know."""
UNUSED = 300.0

log = structlog.get_logger()


def _nothing() -> None:
    """Whoever has nothing to let go."""


@dataclass(frozen=True, slots=True)
class Seat:
    """One thing to read. Only hosts of ``node`` may, where one is named; ``shard`` is what a host may decline.

    ``leave`` is told when another host reads it.
    """

    name: str
    stream: str
    subject: str
    take: Callable[[Item], None]
    leave: Callable[[], None] = _nothing
    node: str = ""
    shard: int | None = None
    unacked: int = 1000


class Usher:
    """Sees that this host reads the seats that are its own, and no others."""

    def __init__(self, link: Link, roster: Roster) -> None:
        """Have no seats to give yet."""
        self._link = link
        self._roster = roster
        self._seats: dict[str, Seat] = {}
        self._held: dict[str, Pump] = {}

    def add(self, *seats: Seat) -> None:
        """Have more seats to give; one of a known name takes the place of the old one."""
        self._seats.update((seat.name, seat) for seat in seats)
        self._roster.changed.set()

    @property
    def held(self) -> tuple[str, ...]:
        """Return the names of the seats that this host reads."""
        return tuple(self._held)

    async def run(self) -> None:
        """Take and leave seats as hosts come and go, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._roster.run())
                group.create_task(tend(self._link, lambda: tuple(self._held.values())))
                group.create_task(self._sit())
        finally:
            pumps = tuple(self._held.values())
            self._held.clear()
            for pump in pumps:
                await pump.close()

    async def drain(self) -> None:
        """Leave all seats to others, and read no more."""
        await self._roster.leave()
        await self._stop(tuple(self._held))

    async def vacate(self) -> None:
        """Forget our consumers: what we had in hand is done."""
        names = {seat.name: seat.stream for seat in self._seats.values()}
        await asyncio.gather(
            *(self._link.find(f"CONSUMER.DELETE.{stream}.{self._own(name)}") for name, stream in names.items())
        )

    async def _sit(self) -> None:
        while True:
            await self._roster.changed.wait()
            self._roster.changed.clear()
            try:
                await self._settle()
            except CarError as error:
                log.debug("seats wait", host=self._roster.me.name, error=str(error))
                await asyncio.sleep(AGAIN)
                self._roster.changed.set()

    async def _settle(self) -> None:
        hosts, me = self._roster.hosts, self._roster.me.name
        mine = {seat.name for seat in self._seats.values() if owner(seat.name, hosts, seat.node, seat.shard) == me}
        await self._stop(name for name in tuple(self._held) if name not in mine)
        if wanted := [self._seats[name] for name in mine if name not in self._held]:
            await self._oust(wanted)
            # All are waited for: one that is still on its way would take the same seat a second time.
            taken = await asyncio.gather(*(self._take(seat) for seat in wanted), return_exceptions=True)
            if faults := [one for one in taken if isinstance(one, BaseException)]:
                raise faults[0]
            log.info("took seats", host=me, seats=len(wanted))

    async def _take(self, seat: Seat) -> None:
        name = self._own(seat.name)
        config = consumer(name, seat.subject, unacked=seat.unacked, unused=UNUSED)
        asked = {"stream_name": seat.stream, "config": config}
        await self._link.api(f"CONSUMER.CREATE.{seat.stream}.{name}.{seat.subject}", asked)
        pump = Pump(self._link, seat.stream, name, seat.take, on_gone=lambda: self._lost(seat, pump))
        self._held[seat.name] = pump
        await pump.open(fresh=True)

    def _lost(self, seat: Seat, pump: Pump) -> None:
        """Another host has taken a seat; where it is still ours by all that we know, it is taken again."""
        if self._held.get(seat.name) is not pump:
            return
        log.info("a seat was taken", host=self._roster.me.name, seat=seat.name)
        del self._held[seat.name]
        pump.shut()
        seat.leave()
        loop = asyncio.get_running_loop()
        loop.create_task(pump.close())  # noqa: RUF006  # it ends in one round
        loop.call_later(AGAIN, self._roster.changed.set)

    async def _stop(self, names: Iterable[str]) -> None:
        for name in names:
            if pump := self._held.pop(name, None):
                pump.shut()
                self._seats[name].leave()
                await pump.close()

    async def _oust(self, seats: list[Seat]) -> None:
        """Delete the consumers of those who read these seats before, ourselves included: we begin anew."""
        for stream in {seat.stream for seat in seats}:
            subjects = {seat.subject for seat in seats if seat.stream == stream}
            consumers = await self._consumers(stream)
            old = [one.text("name") for one in consumers if one.text("config", "filter_subject") in subjects]
            await asyncio.gather(*(self._link.find(f"CONSUMER.DELETE.{stream}.{name}") for name in old))

    async def _consumers(self, stream: str) -> list[Found]:
        found: list[Found] = []
        while True:
            page = await self._link.api(f"CONSUMER.LIST.{stream}", {"offset": len(found)})
            consumers = page.sections("consumers")
            found += consumers
            if not consumers or len(found) >= page.number("total"):
                return found

    def _own(self, name: str) -> str:
        return f"{name}-{token(self._roster.me.name)}"
