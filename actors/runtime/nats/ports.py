"""The ports of the runtime over JetStream."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta

import structlog

from actors.runtime.nats.layout import MAIL, SHARDS, STATE, TIMER, UNACKED, consumer, furnish, hire
from actors.runtime.nats.link import Link
from actors.runtime.nats.pump import Item, Pump, read
from actors.runtime.ports import Delivery, Mail, Ports, Stored, Take
from protocol.address import Address, token
from protocol.envelope import Envelope, Fire, letter, pack, unpack
from protocol.errors import Full, Unreachable, Unreadable
from protocol.node import Fired

TIMERS = Address("timer", "nats")
"""Who sends what timers say; the message itself lies in the record of the actor."""
OBJECTS = {"work": "car.work", "proc": "car.proc", "out": "car.out"}
"""Kinds of receivers that have a stream of their own."""

log = structlog.get_logger()


def subject_of(to: Address) -> str:
    """Return where a message to this address is stored."""
    return f"{OBJECTS[to.kind]}.{to.key}" if to.kind in OBJECTS else to.subject("mail")


class NatsPost:
    """Carries what actors say into MAIL, WORK, OUT, EVENT and DEAD."""

    def __init__(self, link: Link) -> None:
        """Speak over this connection."""
        self._link = link

    async def send(self, to: Address, envelope: Envelope) -> int:
        """Store an envelope for its receiver."""
        headers, body = pack(envelope)
        headers["Nats-Msg-Id"] = f"{to}:{envelope.id}"
        try:
            return (await self._link.store(subject_of(to), body, headers)).seq
        except Full:
            if to.kind == "out" and _passing(envelope):
                return 0
            raise

    async def reply(self, inbox: str, envelope: Envelope) -> None:
        """Answer over core NATS."""
        headers, body = pack(envelope)
        await self._link.say(inbox, body, headers)

    async def publish(self, me: Address, row: Envelope) -> None:
        """Keep a fact in EVENT."""
        headers, body = pack(row)
        headers["Nats-Msg-Id"] = row.id
        await self._link.store(f"{me.subject('event')}.{row.letters[0].name.rpartition('.')[2]}", body, headers)

    async def bury(self, me: Address, envelope: Envelope, why: str) -> None:
        """Keep what could not be handled in DEAD."""
        headers, body = pack(envelope)
        headers |= {"Nats-Msg-Id": f"{me}:{envelope.id}", "Car-Why": _one_line(why)}
        await self._link.store(f"car.dead.{me.kind}.{me.key.replace('.', '-')}", body, headers)


class NatsStore:
    """Remembers records in KV STATE."""

    def __init__(self, link: Link, epoch: str) -> None:
        """Read and write the store of this epoch."""
        self._link = link
        self.epoch = epoch

    async def load(self, me: Address) -> Stored | None:
        """Return the record, if there is one."""
        found = await self._link.last(STATE, _key(me))
        return Stored(found.data, found.seq) if found and found.data else None

    async def save(self, me: Address, data: bytes, revision: int) -> int:
        """Write by compare-and-set."""
        ack = await self._link.store(_key(me), data, {"Nats-Expected-Last-Subject-Sequence": str(revision)})
        return ack.seq


class NatsTimers:
    """Lets the server fire timers."""

    def __init__(self, link: Link) -> None:
        """Set them over this connection."""
        self._link = link

    async def set(self, me: Address, name: str, generation: int, due: datetime) -> None:
        """Store a scheduled message; the newest on its subject is the one that counts."""
        not_early = due + timedelta(microseconds=999)
        headers = {
            "Nats-Schedule": f"@at {not_early.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": me.subject("fired"),
            "Car-Fire": f"{name}:{generation}",
        }
        await self._link.store(f"{me.subject('timer')}.{token(name)}", b"", headers)

    async def cancel(self, me: Address, name: str) -> None:
        """Purge the scheduled message; one that has just fired is held off by its generation."""
        await self._link.api(f"STREAM.PURGE.{TIMER}", {"filter": f"{me.subject('timer')}.{token(name)}"})


class NatsIntake:
    """Reads the shards of MAIL, and forwards what has fired into MAIL."""

    def __init__(self, link: Link, post: NatsPost, epoch: str) -> None:
        """Read the mail of this epoch."""
        self._link = link
        self._post = post
        self._epoch = epoch
        self._settling: set[asyncio.Task[None]] = set()

    async def run(self, take: Take) -> None:
        """Hand over deliveries until cancelled."""
        shards = [f"s{number}" for number in range(SHARDS)]
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(shards):
                config = consumer(name, f"car.mail.{number}.*.*", unacked=UNACKED, pinned=True)
                group.create_task(hire(self._link, MAIL, config))
            group.create_task(hire(self._link, TIMER, consumer("fired", "car.fired.*.*")))

        def hand(item: Item) -> None:
            if delivery := self._delivery(item):
                take(delivery)

        pumps = [Pump(self._link, MAIL, name, hand, pinned=True) for name in shards]
        await read(self._link, (*pumps, Pump(self._link, TIMER, "fired", self._forward)))

    def _delivery(self, item: Item) -> Delivery | None:
        _, _, _, kind, key = item.msg.subject.split(".")
        me = Address(kind, key)
        try:
            envelope = unpack(item.msg.headers or {}, item.msg.data)
        except Unreadable as error:
            self._start(self._put_aside(item, me, str(error)))
            return None
        mail = Mail(me, envelope, self._epoch, item.seq, item.at)

        async def settle() -> None:
            await self._link.say(item.msg.reply, b"+ACK")

        return Delivery(mail, settle)

    async def _put_aside(self, item: Item, me: Address, why: str) -> None:
        headers = {"Car-Why": _one_line(why), "Nats-Msg-Id": f"{self._epoch}:{item.seq}"}
        await self._link.store(me.subject("dead"), item.msg.data, headers)
        await self._link.say(item.msg.reply, b"+ACK")

    def _forward(self, item: Item) -> None:
        self._start(self._fire(item))

    async def _fire(self, item: Item) -> None:
        """Put one fired timer into its mailbox; a full one is tried again while the others go on."""
        _, _, kind, key = item.msg.subject.split(".")
        name, _, generation = (item.msg.headers or {}).get("Car-Fire", "").rpartition(":")
        me, pause = Address(kind, key), 0.1
        id_ = f"{me}.{token(name)}.{generation}"
        envelope = Envelope(TIMERS, (letter(Fired(), id_),), fire=Fire(name, int(generation)))
        while True:
            try:
                await self._post.send(me, envelope)
                await self._link.say(item.msg.reply, b"+ACK")
            except Unreachable as error:
                log.info("timer waits", actor=str(me), error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


async def open_ports(link: Link) -> Ports:
    """Make what is missing on the server, and return the ports."""
    epochs = await furnish(link)
    post = NatsPost(link)
    store = NatsStore(link, epochs[STATE])
    return Ports(post, store, NatsTimers(link), NatsIntake(link, post, epochs[MAIL]))


def _key(me: Address) -> str:
    return f"$KV.STATE.{me.kind}.{me.key}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500].encode("ascii", "replace").decode()


def _passing(envelope: Envelope) -> bool:
    """Tell whether all of this is progress, which the next card replaces anyway."""
    return all(one.name == "chat.Card" and '"tone":"working"' in one.body for one in envelope.letters)
