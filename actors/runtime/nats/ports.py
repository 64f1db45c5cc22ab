"""The ports of the runtime over JetStream."""

import asyncio
import json
import re
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from actors.runtime.nats.clock import ServerClock
from actors.runtime.nats.epoch import NOTHING, Anew, Epochs
from actors.runtime.nats.forwarder import Forwarder
from actors.runtime.nats.identity import Forged, believe, private_id
from actors.runtime.nats.layout import EVENT, MAIL, OUT, SHARDS, STATE, TIMER, UNACKED, VOICE, furnish, hire, lasting
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import read_all
from actors.runtime.nats.pump import Item
from actors.runtime.nats.roster import Roster, new_lease
from actors.runtime.nats.seat import Seat, Usher
from actors.runtime.nats.users import BRIDGES
from actors.runtime.ports import Delivery, Leave, Mail, Ports, Stored, Take
from protocol.address import Address, address, token
from protocol.envelope import Envelope, Letter, pack, unpack
from protocol.errors import CarError, Full, Unreadable
from protocol.node import Lease

UNREAD = Address("unread", "unread")
"""Who sends what only a newer host can read."""
OBJECTS = {"work": "car.work", "proc": "car.proc", "out": "car.out"}
"""Kinds of receivers that have a stream of their own."""

_PLAIN = re.compile(r"[A-Za-z0-9-]+")
_OURS = ("nats-", "car-voice", "car-to", "car-why", "status", "description")

log = structlog.get_logger()


def subject_of(to: Address, voice: str = VOICE) -> str:
    """Return where a message to this address is stored, said by a host or (``voice``) by somebody else."""
    return f"{OBJECTS[to.kind]}.{to.key}" if to.kind in OBJECTS else to.subject(voice)


def shard_of(me: Address) -> int:
    """Return the shard that the server puts the mail of an address into: FNV-1a over its two tokens."""
    hashed = 2_166_136_261
    for byte in f"{me.kind}{me.key}".encode():
        hashed = ((hashed ^ byte) * 16_777_619) & 0xFFFF_FFFF
    return hashed % SHARDS


class NatsPost:
    """Carries what actors say into MAIL, WORK, OUT, EVENT and DEAD."""

    def __init__(self, link: Link, voice: str = VOICE) -> None:
        """Speak over this connection, as a host or (``voice``) as somebody else."""
        self._link = link
        self._voice = voice

    async def send(self, to: Address, envelope: Envelope) -> int:
        """Store an envelope for its receiver."""
        headers, body = pack(envelope)
        headers["Nats-Msg-Id"] = private_id(self._link.login.seed, f"{self._voice}:{to}:{envelope.id}")
        try:
            return (await self._link.store(subject_of(to, self._voice), body, headers)).seq
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

    async def kept(self, me: Address, since: datetime) -> frozenset[str]:
        """Return the ids of the facts of an actor in EVENT from this time on."""
        rows = await read_all(self._link, EVENT, f"{me.subject('event')}.*", since=since)
        return frozenset(row.headers.get("Car-Id", "") for row in rows)

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Keep what could not be handled in DEAD."""
        headers, body = pack(envelope)
        headers |= {"Nats-Msg-Id": f"{to}:{envelope.id}", "Car-To": str(to), "Car-Why": _one_line(why)}
        await self._link.store(f"car.dead.{to.kind}.{to.key.replace('.', '-')}", body, headers)


class NatsStore:
    """Remembers records in KV STATE."""

    def __init__(self, link: Link, epochs: Epochs) -> None:
        """Read and write the store, which has these epochs."""
        self._link = link
        self.epochs = epochs

    async def load(self, me: Address) -> Stored | None:
        """Return the record, if there is one; somebody may have deleted it by hand, and the next write is over that."""
        found = await self._link.last(STATE, _key(me))
        return Stored(found.data, found.seq) if found else None

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        """Write by compare-and-set."""
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        if ttl:
            headers["Nats-TTL"] = f"{ttl:.0f}s"
        return (await self._link.store(_key(me), data, headers)).seq


class NatsTimers:
    """Lets the server fire timers."""

    def __init__(self, link: Link) -> None:
        """Set them over this connection."""
        self._link = link

    async def set(self, me: Address, name: str, generation: int, due: datetime) -> None:
        """Store a scheduled message, on a subject of its own: the server keeps one for each."""
        not_early = due + timedelta(microseconds=999)
        headers = {
            "Nats-Schedule": f"@at {not_early.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": me.subject("fired"),
            "Car-Fire": f"{token(name)}:{generation}",
        }
        await self._link.store(_schedule(me, name, generation), b"", headers)

    async def cancel(self, me: Address, name: str, generation: int) -> None:
        """Purge the scheduled message; one that has just fired is held off by its generation."""
        await self._link.api(f"STREAM.PURGE.{TIMER}", {"filter": _schedule(me, name, generation)})


class NatsIntake:
    """Reads the shards of MAIL that are this host's, and forwards what has fired into MAIL."""

    def __init__(self, link: Link, post: NatsPost, crew: "NatsCrew", usher: Usher, epochs: Epochs) -> None:
        """Read the mail of these epochs."""
        self._link = link
        self._post = post
        self._crew = crew
        self._usher = usher
        self._epochs = epochs
        self._settling: set[asyncio.Task[None]] = set()

    async def run(self, take: Take, leave: Leave) -> None:
        """Hand over deliveries until cancelled."""

        def hand(item: Item) -> None:
            if delivery := self._delivery(item):
                take(delivery)

        def shard(number: int) -> Seat:
            def let_go() -> None:
                leave(lambda me: shard_of(me) == number)

            subject = f"car.*.{number}.*.*"
            return Seat(f"s{number}", MAIL, subject, hand, let_go, shard=number, unacked=UNACKED)

        forwarder = Forwarder(self._link, self._post)
        fired = Seat("fired", TIMER, "car.fired.*.*", forwarder.take, forwarder.leave)
        self._usher.add(*map(shard, range(SHARDS)), fired)
        await self._usher.run()

    def _delivery(self, item: Item) -> Delivery | None:
        _, voice, _, kind, key = item.msg.subject.split(".")
        me = Address("unread", token(f"{kind}/{key}"))
        try:
            me = address(f"{kind}/{key}")
            envelope = believe(voice, unpack(item.msg.headers or {}, item.msg.data))
        except Unreadable as error:
            if isinstance(error, Forged) or not self._crew.newer():
                self._start(self._put_aside(item, me, str(error)))
                return None
            # Its actor waits with it: if the next one went first, a newer host would take this for handled.
            text = json.dumps(item.msg.data.decode(errors="backslashreplace"))
            envelope = Envelope(UNREAD, (Letter(f"{item.seq}.unread", "unread", text),))
        mail = Mail(me, envelope, self._epochs.of(item.seq), item.seq, item.at)

        async def settle() -> None:
            await self._link.say(item.msg.reply, b"+ACK")

        return Delivery(mail, settle)

    async def _put_aside(self, item: Item, me: Address, why: str) -> None:
        """Keep bytes in DEAD; where that fails they are delivered again."""
        try:
            await put_aside(self._link, item, me, why)
            await self._link.say(item.msg.reply, b"+ACK")
        except CarError as error:
            log.warning("not put aside", to=str(me), error=str(error))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


async def put_aside(link: Link, item: Item, to: Address, why: str) -> None:
    """Keep what nobody can read in DEAD, as it is and with the voice that it came in."""
    object_ = item.msg.subject.split(".")[1]
    named = {name: value for name, value in (item.msg.headers or {}).items() if _PLAIN.fullmatch(name)}
    borne = {name: _one_line(value) for name, value in named.items() if not name.lower().startswith(_OURS)}
    ours = {
        "Car-Voice": object_,
        "Car-To": str(to),
        "Car-Why": _one_line(why),
        "Nats-Msg-Id": f"{object_}:{item.at}:{item.seq}",
    }
    await link.store(f"car.dead.{to.kind}.{to.key.replace('.', '-')}", item.msg.data, borne | ours)


class NatsCrew:
    """The other hosts, by their leases."""

    def __init__(self, roster: Roster) -> None:
        """Look them up there."""
        self._roster = roster
        self._declining: set[asyncio.Task[None]] = set()

    def reads(self, kind: str, own: int) -> int:
        """Return the newest version that all read."""
        return min(own, self._roster.reads(kind, own))

    def newer(self) -> bool:
        """Tell whether a newer one lives."""
        return self._roster.newer()

    def decline(self, me: Address) -> None:
        """Leave the shard of an address to newer hosts; where none is left it would only go round among us."""
        if not self._roster.newer():
            return
        task = asyncio.get_running_loop().create_task(self._decline(me))
        self._declining.add(task)
        task.add_done_callback(self._declining.discard)

    async def _decline(self, me: Address) -> None:
        with suppress(CarError):  # the next renewal of the lease says it
            await self._roster.decline(shard_of(me))


@dataclass(frozen=True, slots=True)
class House:
    """What a host stands on: its ports, the list of all hosts, the seats that it reads, and the mail's epoch."""

    ports: Ports
    roster: Roster
    usher: Usher
    epoch: str


async def open_house(link: Link, lease: Lease, anew: Anew = NOTHING) -> House:
    """Make what is missing on the server, and return what a host stands on; it is on the list once it reads."""
    epochs = await furnish(link, anew)
    for bridge in BRIDGES:
        await hire(link, OUT, lasting(bridge, f"car.out.{bridge}.*", UNACKED))
    clock = ServerClock()
    await clock.ask(link)
    roster = Roster(link, lease, clock)
    usher, crew, post = Usher(link, roster), NatsCrew(roster), NatsPost(link)
    store, timers = NatsStore(link, epochs[STATE]), NatsTimers(link)
    intake = NatsIntake(link, post, crew, usher, epochs[MAIL])
    return House(Ports(post, store, timers, intake, crew, clock), roster, usher, epochs[MAIL].newest)


async def open_ports(link: Link) -> Ports:
    """Return the ports of a host that does nothing but to play its cast."""
    return (await open_house(link, new_lease("alone", {}))).ports


def _schedule(me: Address, name: str, generation: int) -> str:
    return f"{me.subject('timer')}.{token(name)}-{generation}"


def _key(me: Address) -> str:
    return f"$KV.STATE.{me.kind}.{me.key}"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500].encode("ascii", "replace").decode()


def _passing(envelope: Envelope) -> bool:
    """Tell whether all of this is progress, which the next card replaces anyway."""
    return all(one.name == "chat.Card" and '"tone":"working"' in one.body for one in envelope.letters)
