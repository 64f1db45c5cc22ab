"""Who is alive: the leases of all hosts, and our own, which is renewed for as long as we live.

A host is gone when its lease is: when it has said so, when it was silent for ``SILENCE`` seconds (whoever sees that
first removes its lease), or when its process has ended on the machine of whoever looks. A host that was taken for dead
and lives finds its lease lapsed by its own boot clock, and writes nothing until it has a new one. Nothing rests on this
but how soon others go on: that nothing is done twice rests on the compare-and-set of each record.
"""

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import structlog
from nats.aio.msg import Msg
from pydantic import ValidationError

from actors.runtime import process
from actors.runtime.nats.clock import ServerClock
from actors.runtime.nats.layout import NODES
from actors.runtime.nats.link import Link, boot_time
from actors.runtime.nats.log import read_all
from actors.runtime.ports import Conflict
from protocol.address import token
from protocol.errors import CarError
from protocol.node import Lease

TERM = 2.0
"""Seconds for which a lease holds that is not renewed; the server forgets it then."""
RENEWAL = 0.65
SILENCE = 1.5
GRACE = 5.0
"""Seconds for which one that has left may finish what it has in hand."""
BEAT = 0.3
CLOCK = 60.0
"""Seconds between two questions for the server's time."""
_SUBJECT = "$KV.NODES.host"

log = structlog.get_logger()


@dataclass(slots=True)
class _Sight:
    """A lease, and when we last heard of it by our boot clock."""

    lease: Lease
    at: float


def new_lease(node: str, reads: Mapping[str, int], release: str = "") -> Lease:
    """Return the lease of this process as a host of a machine."""
    return Lease(
        name=f"{node}.{secrets.token_hex(3)}",
        node=node,
        who=process.whereabouts(),
        release=release or version("car"),
        reads=dict(reads),
        since=datetime.now(UTC),
    )


class Roster:
    """The hosts that are alive. ``changed`` is set when they are others than before, or one says something else."""

    def __init__(self, link: Link, me: Lease, clock: ServerClock) -> None:
        """Know nobody, and be on no list yet."""
        self._link = link
        self.me = me
        self._clock = clock
        self._seen: dict[str, _Sight] = {}
        self._renewed = 0.0
        self._asked = -CLOCK
        self._is_leaving = False
        self._hurry = asyncio.Event()
        self.changed = asyncio.Event()

    @property
    def hosts(self) -> tuple[Lease, ...]:
        """Return the leases of all who are alive."""
        return tuple(one.lease for one in self._seen.values())

    async def run(self) -> None:
        """Be on the list until cancelled."""
        self._is_leaving, self._renewed = False, 0.0
        subscription = await self._link.client.subscribe(f"{_SUBJECT}.*", cb=self._heard)
        self._link.on_return.append(self._look_again)
        try:
            await self._read()
            while True:
                await self._beat()
                self._hurry.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT):
                        await self._hurry.wait()
        finally:
            self._link.on_return.remove(self._look_again)
            with suppress(CarError):  # it lapses by itself
                async with asyncio.timeout(BEAT):
                    await self.leave()
            if self._link.client.is_connected:
                await subscription.unsubscribe()

    async def leave(self) -> None:
        """Say that we are no host any more: others take over at once, and we may finish what we have in hand."""
        self._seen.pop(self.me.name, None)
        self._is_leaving = True
        self._link.valid_until = boot_time() + GRACE
        self.changed.set()
        await self._remove(self.me)

    # what a crew is asked

    def reads(self, kind: str, own: int) -> int:
        """Return the newest version of a kind's records that all hosts read."""
        return min((one.reads.get(kind, own) for one in self.hosts), default=own)

    def newer(self) -> bool:
        """Tell whether a host of a newer release lives."""
        return any(_order(one.release) > _order(self.me.release) for one in self.hosts)

    async def decline(self, shard: int) -> None:
        """Leave a shard to newer hosts."""
        if shard not in self.me.declines:
            self.me = self.me.model_copy(update={"declines": (*self.me.declines, shard)})
            await self._renew()

    # hearing and seeing

    async def _beat(self) -> None:
        now = boot_time()
        if self.me.declines and not self.newer():
            self.me = self.me.model_copy(update={"declines": ()})
            self._renewed = 0.0
        try:
            if now - self._renewed >= RENEWAL and not self._is_leaving:
                await self._renew()
            await self._bury_dead(now)
            if now - self._asked > CLOCK:
                await self._clock.ask(self._link)
                self._asked = now
        except CarError as error:
            log.info("the roster waits", host=self.me.name, error=str(error))

    async def _renew(self) -> None:
        if self._is_leaving:
            return
        began = boot_time()
        headers = {"Nats-TTL": f"{TERM:.0f}s"}
        await self._link.renew(self._subject(self.me), self.me.model_dump_json().encode(), headers, TERM)
        if self._is_leaving:
            # It was on its way when we left; what is in hand may be finished all the same.
            self._link.valid_until = boot_time() + GRACE
        else:
            self._renewed = began
            self._note(self.me)

    async def _bury_dead(self, now: float) -> None:
        """Remove the leases of those who are silent, but only where we can hear: our own we hear as any other."""
        heard = self._seen.get(self.me.name)
        if heard is None or now - heard.at > RENEWAL + BEAT:
            return
        for sight in tuple(self._seen.values()):
            who = sight.lease
            if who.name != self.me.name and (now - sight.at > SILENCE or process.has_ended(who.who)):
                log.warning("a host is gone", host=who.name, silent=round(now - sight.at, 2))
                self._forget(who.name)
                with suppress(Conflict):
                    await self._remove(who)

    async def _heard(self, msg: Msg) -> None:
        self._take(msg.data)
        if not msg.data:
            self._forget_token(msg.subject.rpartition(".")[2])

    def _take(self, data: bytes) -> None:
        if data:
            with suppress(ValidationError):  # of a host that speaks otherwise than we: it is none of ours
                self._note(Lease.model_validate_json(data, strict=False))

    def _note(self, lease: Lease) -> None:
        if self._is_leaving and lease.name == self.me.name:
            return  # the echo of what we said before we left
        known = self._seen.get(lease.name)
        self._seen[lease.name] = _Sight(lease, boot_time())
        if known is None or known.lease != lease:
            self.changed.set()

    def _forget_token(self, text: str) -> None:
        for name in [name for name in self._seen if token(name) == text and name != self.me.name]:
            self._forget(name)
        if text == token(self.me.name):
            # Somebody took us for dead; we are not.
            self._renewed = 0.0

    def _forget(self, name: str) -> None:
        self._seen.pop(name, None)
        self.changed.set()

    def _look_again(self) -> None:
        """After a loss of the wire: nobody was heard meanwhile, and nobody is to be taken for dead by that."""
        for sight in self._seen.values():
            sight.at = boot_time()
        self._renewed = 0.0
        self._hurry.set()
        self.changed.set()

    async def _read(self) -> None:
        while True:
            try:
                for entry in await read_all(self._link, NODES, f"{_SUBJECT}.*"):
                    self._take(entry.data)
            except CarError as error:
                log.info("the roster waits", host=self.me.name, error=str(error))
                await asyncio.sleep(BEAT)
            else:
                return

    async def _remove(self, lease: Lease) -> None:
        headers = {"KV-Operation": "DEL", "Nats-TTL": f"{TERM:.0f}s"}
        await self._link.store(self._subject(lease), b"", headers)

    def _subject(self, lease: Lease) -> str:
        return f"{_SUBJECT}.{token(lease.name)}"


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in release.split("."))
