"""What lies behind the stage: the store, the timers, the log of events, and the hands that a delivery is done with.

The hands do at once what those of a cell do over wires, so a delivery runs through without waiting; and they may be cut
off between any two deeds.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from actors.runtime.actor import Actor
from actors.runtime.cell import TOMBSTONE
from actors.runtime.delivery import GivenUp, Known
from actors.runtime.ports import Conflict
from actors.runtime.record import MARK_DAYS, Answer, DropTimer, Outgoing, Parcel, Record, Row, SetTimer
from actors.runtime.shape import decode
from protocol.address import Address
from protocol.envelope import Envelope, Fire, Mark
from protocol.errors import Unreachable
from protocol.message import Event, Message
from tests.fault import Fortune

T = TypeVar("T")

EPOCH = "stage"
WINDOW = timedelta(seconds=120)
"""For so long the log of events knows an id again."""
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """A fact in the log of events; ``place`` is where it stood in what its actor said, by write and by order."""

    sender: Address
    event: Event
    id: str
    at: datetime
    place: tuple[int, int]


class Kept(NamedTuple):
    """A record as it is stored; one without an end is never forgotten."""

    data: bytes
    revision: int
    until: datetime | None


class Setting(NamedTuple):
    """One setting of a timer."""

    me: Address
    timer: str
    generation: int

    @property
    def fire(self) -> Fire:
        return Fire(self.timer, self.generation)


class Backstage:
    """Keeps all that outlives a host. ``reads`` are the versions in which others must be able to read a kind."""

    def __init__(self, fortune: Fortune, post: Callable[[Address, Envelope], None]) -> None:
        self.fortune, self.post = fortune, post
        self.now = NOON
        self.log: list[Told] = []
        self.dead: list[tuple[Address, Envelope, str]] = []
        self.given_up: list[tuple[Address, Envelope, str]] = []
        """What a full mailbox did not take; in a house it lies in DEAD, too."""
        self.full: set[Address] = set()
        self.timers: dict[Setting, datetime] = {}
        self.answers: dict[str, Message] = {}
        self._late: list[tuple[datetime, Callable[[], object]]] = []
        self.reads: dict[str, int] = {}
        self.newer = False
        self.records: dict[Address, Kept] = {}
        self.history: list[tuple[Address, bytes]] = []
        """Every record that was ever written, in order."""
        self.writes = self.signed = 0

    def load(self, actor: Actor[object], me: Address) -> Known[object]:
        """Read a record as it is written."""
        kept = self.records.get(me)
        if kept is None or (kept.until and kept.until <= self.now):
            return Known(None, 0)
        return Known(decode(actor, kept.data), kept.revision, kept.data)

    def write(self, me: Address, data: bytes, revision: int, *, stopped: bool) -> int:
        """Write a record over the one that was read."""
        kept = self.records.get(me)
        gone = kept is None or (kept.until and kept.until <= self.now)
        if revision != (0 if gone else kept.revision):
            raise Conflict(f"somebody else has written the record of {me}")
        self.writes += 1
        self.history.append((me, data))
        self.records[me] = Kept(data, self.writes, self.now + timedelta(seconds=TOMBSTONE) if stopped else None)
        return self.writes

    def tell(self, told: Told) -> None:
        """Keep a fact, unless it was kept just now."""
        if all(one.id != told.id or self.now - one.at > WINDOW for one in self.log):
            self.log.append(told)

    def say(self, deed: Callable[[], object]) -> None:
        """Say something now; a host that was frozen meanwhile may say it once more when it wakes."""
        self._late.append((self.now, deed))
        deed()

    @property
    def late(self) -> list[Callable[[], object]]:
        """Return what may be said once more: nothing that is so old that its receivers have forgotten it."""
        return [deed for at, deed in self._late if self.now - at < timedelta(days=MARK_DAYS)]

    def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        """Put something aside, once; which write it came from is of no interest there."""
        aside = self.given_up if to in self.full else self.dead
        if all((one[0], one[1].id) != (to, envelope.id) for one in aside):
            aside.append((to, replace(envelope, mark=None), why))


class Deeds:
    """The hands of a delivery to one actor. ``rival`` is another host that does the same delivery at the same time."""

    def __init__(self, back: Backstage, actor: Actor[object], me: Address, rival: Callable[[], None]) -> None:
        self._back, self._actor, self._me, self._rival = back, actor, me, rival

    @property
    def version(self) -> int:
        return self._back.reads.get(self._actor.kind, self._actor.version)

    @property
    def newer(self) -> bool:
        return self._back.newer

    async def load(self) -> Known[object]:
        return self._back.load(self._actor, self._me)

    async def save(self, data: bytes, revision: int, *, stopped: bool) -> int:
        fortune = self._back.fortune
        fortune.cut("cut before it is saved")
        if fortune.strikes("another host is quicker"):
            self._rival()
        written = self._back.write(self._me, data, revision, stopped=stopped)
        if fortune.strikes("the answer to a write is lost"):
            raise Unreachable("no answer")
        fortune.cut("cut before it is posted")
        return written

    def sign(self, record: Record[object]) -> Record[object]:
        self._back.signed += 1
        return record.model_copy(update={"nonce": str(self._back.signed), "written": self._back.now})

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        self._back.bury(to, envelope, why)
        self._back.fortune.cut("cut when it is put aside")

    async def say(self, known: Known[object], *, again: bool) -> GivenUp:
        """Post in parallel, so in any order; what fails does not keep the others from being posted."""
        record, back = known.record, self._back
        assert record
        written = record.written or record.at
        if back.now - written > timedelta(days=MARK_DAYS):
            for out in record.outbox:
                if isinstance(out, Parcel):
                    await self.bury(out.to, Envelope(self._me, out.letters), "too old to be sent")
            return ()
        kept = {one.id for one in back.log if one.at >= written} if again else set()
        given_up: list[tuple[Parcel, str]] = []
        is_away = False
        for place, out in back.fortune.shuffle(tuple(enumerate(record.outbox))):
            back.fortune.cut("cut while it is posted")
            if isinstance(out, Row) and out.letter.id in kept:
                continue
            if back.fortune.strikes("the wire is away"):
                is_away = True
            elif isinstance(out, Parcel) and out.to in back.full:
                given_up.append((out, f"the mailbox of {out.to} is full"))
                await self.bury(out.to, Envelope(self._me, out.letters), given_up[-1][1])
            else:
                self._one(out, (known.revision, place))
        if is_away:
            raise Unreachable("the wire is away")
        return tuple(given_up)

    def _one(self, out: Outgoing, place: tuple[int, int]) -> None:
        back, me = self._back, self._me
        match out:
            case Parcel(to=to, letters=letters, cause=cause, person=person):
                envelope = Envelope(me, letters, cause=cause, person=person, mark=Mark(EPOCH, place[0]))
                back.say(lambda: back.post(to, envelope))
            case Row(letter=one):
                event = one.open()
                assert isinstance(event, Event)
                back.tell(Told(me, event, one.id, back.now, place))
            case Answer(inbox=inbox, letter=one):
                assert back.answers.setdefault(inbox, one.open()) == one.open(), "two answers to one question"
            case SetTimer(timer=name, generation=generation, due=due):
                back.say(lambda: back.timers.update({Setting(me, name, generation): due}))
            case DropTimer(timer=name, generation=generation):
                back.say(lambda: back.timers.pop(Setting(me, name, generation), None))


def drive(deed: Coroutine[None, None, T]) -> T:
    """Run a coroutine that never waits."""
    try:
        deed.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits for something")
