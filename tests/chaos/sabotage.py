"""A runtime that breaks its promises on purpose (``CHAOS_SABOTAGE``): the chaos must see each, or it proves nothing.

``cas``: records are written over whatever is there. ``ack``: a mail is settled before it is handled. ``marks``: what
was heard before is heard again. ``timers``: they fire too early. And ``lease``: a host that does not look at its own
lease before it writes. That one must change nothing: what fences is the compare-and-set.
"""

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from actors.runtime.nats.link import Link
from actors.runtime.ports import Conflict, Delivery, Intake, Leave, Ports, Post, Store, Take, Timers
from protocol.address import Address
from protocol.envelope import Envelope

KINDS = ("cas", "ack", "marks", "timers", "lease")


def sabotaged(ports: Ports, link: Link, how: tuple[str, ...]) -> Ports:
    """Return ports that break these promises."""
    for one in how:
        match one:
            case "lease":
                ports = replace(ports, store=_Heedless(ports.store, link), post=_Careless(ports.post, link))
            case "cas":
                ports = replace(ports, store=_Over(ports.store))
            case "ack":
                ports = replace(ports, intake=_Hasty(ports.intake))
            case "marks":
                ports = replace(ports, post=_Unmarked(ports.post))
            case "timers":
                ports = replace(ports, timers=_Early(ports.timers))
            case _:
                raise SystemExit(f"no sabotage is called {one!r}: {', '.join(KINDS)}")
    return ports


class _Like:
    """A port as it is, for those that change a part of it."""

    def __init__(self, port: Store | Post | Timers) -> None:
        self._port = port

    def __getattr__(self, name: str):
        return getattr(self._port, name)


class _Heedless(_Like):
    """A store that is written to whether or not the lease has lapsed."""

    def __init__(self, port: Store, link: Link) -> None:
        super().__init__(port)
        self._link = link

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        self._link.valid_until = math.inf
        return await self._port.save(me, data, revision, ttl)


class _Over(_Like):
    """A store that compares nothing."""

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        try:
            return await self._port.save(me, data, revision, ttl)
        except Conflict:
            there = await self._port.load(me)
            return await self._port.save(me, data, there.revision if there else 0, ttl)


class _Careless(_Like):
    """A post that sends whether or not the lease has lapsed."""

    def __init__(self, port: Post, link: Link) -> None:
        super().__init__(port)
        self._link = link

    async def send(self, to: Address, envelope: Envelope) -> int:
        self._link.valid_until = math.inf
        return await self._port.send(to, envelope)


class _Unmarked(_Like):
    """A post that forgets from which write a mail comes."""

    async def send(self, to: Address, envelope: Envelope) -> int:
        return await self._port.send(to, replace(envelope, mark=None))


class _Early(_Like):
    """Timers that do not wait to the end."""

    async def set(self, me: Address, name: str, generation: int, due: datetime) -> None:
        await self._port.set(me, name, generation, due - timedelta(seconds=1))


@dataclass
class _Hasty:
    """An intake whose mail is gone once it is seen."""

    intake: Intake

    async def run(self, take: Take, leave: Leave) -> None:
        def seen(delivery: Delivery) -> None:
            asyncio.get_running_loop().create_task(delivery.settle())
            take(delivery)

        await self.intake.run(seen, leave)
