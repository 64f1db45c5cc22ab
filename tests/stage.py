"""A world without wires: the real actors and the real core of the runtime, fake workers, and time that obeys.

A delivery goes as in ``actors/runtime/cell.py``: load, decide, save, post, settle, and nothing is kept between two of
them but what is written. The wire knows no mail again by its id: that each takes effect once is left to the record.
"""

import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from actors.host import CAST
from actors.runtime.actor import Actor, Cause
from actors.runtime.ports import Mail, Stored
from actors.runtime.record import MARK_DAYS, Answer, DropTimer, Outgoing, Parcel, Record, Row, SetTimer
from actors.runtime.supervisor import actor_of
from actors.runtime.transition import decode, encode, failed, repeated, skipped, transition, undelivered
from protocol.address import Address, address
from protocol.chat import Card
from protocol.envelope import Envelope, Fire, Mark, letter
from protocol.errors import Unreadable
from protocol.hub import AddRepo
from protocol.message import Event, Message, Query, View
from protocol.node import Fired
from protocol.session import DescribeSession, Place, SessionView
from protocol.work import Ticket
from tests.checkout import Checkout
from tests.fault import Cut, Fortune, Misfortune
from tests.machine import NODE, Machine

HUB = Address("hub", "main")
DOOR = Address("door", "cli")
TIMERS = Address("timer", "stage")
EPOCH = "stage"
WINDOW = timedelta(seconds=120)
"""For so long the log of events knows an id again."""
ENOUGH = 50_000
"""Deliveries after which a world that is not at rest never will be."""


@dataclass(frozen=True)
class Told:
    """A fact in the log of events; ``place`` is where it stood in what its actor said, by write and by order."""

    sender: Address
    event: Event
    id: str
    at: datetime
    place: tuple[int, int]


class Alarm(NamedTuple):
    """A timer that is set."""

    fire: Fire
    due: datetime


class Stage:
    """Plays. With a seed everything goes wrong that may, and it must not be seen."""

    def __init__(self, seed: int | None = None) -> None:
        self.fortune = Fortune() if seed is None else Misfortune(seed)
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        self.machine = Machine(self._describe, self._deliver)
        self.log: list[Told] = []
        self.dead: list[tuple[Address, Envelope, str]] = []
        self.full: set[Address] = set()
        self._records: dict[Address, Stored] = {}
        self._boxes: dict[Address, deque[Mail]] = {}
        self._timers: dict[tuple[Address, str], Alarm] = {}
        self._answers: dict[str, Message] = {}
        self._cards: dict[Address, list[Card]] = {}
        self._last: dict[Address, Mail] = {}
        self._said: list[tuple[Address, Envelope]] = []
        self._mails = self._writes = self._lines = 0

    # what a story does

    def add(self, name: str, *tickets: Ticket) -> Checkout:
        """Make a checkout and take it into the hub."""
        checkout = self.machine.add(name, *tickets)
        self.say(HUB, AddRepo(place=Place(node=NODE, path=checkout.path), repo=name))
        return checkout

    def say(self, to: Address | str, message: Message) -> Message | None:
        """Say something from outside and play until all is at rest; return what was answered, if anything was."""
        id_ = self.put(to, message)
        self.settle()
        return self.answer(id_)

    def put(self, to: Address | str, message: Message) -> str:
        """Say something from outside, and let it lie in the mailbox."""
        self._lines += 1
        to = address(to) if isinstance(to, str) else to
        id_ = f"line-{self._lines}"
        inbox = "" if to.kind.startswith("chat_") else id_
        envelope = Envelope(DOOR, (letter(message, id_),), person="cli:anna", inbox=inbox)
        for _ in range(1 + self.fortune.strikes("said twice")):
            self._deliver(to, envelope)
        return id_

    def later(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + timedelta(seconds=seconds)
        self.settle()
        while (soon := min(self._awaited(), default=until)) < until:
            self.now = max(soon, self.now)
            self.settle()
        self.now = until
        self.settle()

    def settle(self) -> None:
        """Play until nothing is left to be done at this moment."""
        for _ in range(ENOUGH):
            ready = self._ready()
            if not ready:
                return
            try:
                self.fortune.pick(ready)()
            except Cut:
                if self.fortune.strikes("the host is gone"):
                    self.machine.restart()
            if self._said and self.fortune.strikes("said again much later"):
                self._deliver(*self.fortune.pick(self._said))
        raise AssertionError("this never comes to rest")

    def restart(self) -> None:
        """Kill the host and begin again from what is written; the last mail of each actor was settled in vain."""
        for me, mail in self._last.items():
            self._boxes[me].appendleft(mail)
        self.machine.restart()
        self.settle()

    # what a story sees

    @property
    def told(self) -> tuple[Event, ...]:
        """Return the events in order."""
        return tuple(one.event for one in self.log)

    def answer(self, id_: str) -> Message | None:
        """Return what was answered to something that was put into a mailbox."""
        return self._answers.get(id_)

    @property
    def waiting(self) -> list[str]:
        """Return whose mail lies there and whose timers are set: of those who are at rest there are none."""
        mail = [str(me) for me, box in self._boxes.items() if box and (me.kind != "work" or self.machine.serves(me))]
        return [*mail, *(f"{me} {name}" for me, name in self._timers)]

    def cards(self, room: Address | str) -> list[Card]:
        """Return what a room was shown, in order, each change of a card by itself."""
        return self._cards.get(address(room) if isinstance(room, str) else room, [])

    def state(self, whose: Address | str) -> object:
        """Return the state of an actor, as it is written."""
        me = address(whose) if isinstance(whose, str) else whose
        record = self._load(me)[0]
        return record.state if record else self._actor(me).born(me)

    def ask(self, whom: Address, query: Query) -> View:
        """Ask an actor without waking it."""
        cause = Cause(whom, self.now, DOOR, "query", "query")
        return self._actor(whom).answer(self.state(whom), query, cause)

    def actors(self, kind: str) -> list[Address]:
        """Return the actors of a kind that were ever awake, the first of them first."""
        return [me for me in self._records if me.kind == kind]

    # what may happen next

    def _ready(self) -> list[Callable[[], None]]:
        """Return all that can happen now, in the order in which it happens where nothing goes wrong."""
        machine = self.machine
        boxes = [box for me, box in self._boxes.items() if box and (me.kind != "work" or machine.serves(me))]
        mails = [functools.partial(self._take, box) for box in sorted(boxes, key=lambda box: box[0].seq)]
        news = [self._news] if machine.news else []
        lines = [functools.partial(self._hear, proc) for proc in machine.behind()]
        deeds = [functools.partial(machine.act, proc, self.now) for proc in machine.ready(self.now)]
        timers = [functools.partial(self._fire, key) for key, one in self._timers.items() if one.due <= self.now]
        return [*mails, *news, *lines, *deeds, *timers]

    def _awaited(self) -> list[datetime]:
        return [*(one.due for one in self._timers.values()), *self.machine.awaited()]

    def _take(self, box: deque[Mail]) -> None:
        mail = box[0]
        if mail.to.kind == "work":
            self._work(mail)
        else:
            self._handle(mail)
        if mail in box:
            box.remove(mail)

    def _work(self, mail: Mail) -> None:
        asked = mail.envelope
        for _ in range(1 + self.fortune.strikes("done twice")):
            done = ((one, self.machine.do(one.open(), asked.sender)) for one in asked.letters)
            answers = tuple(letter(event, f"{one.id}.r", one.id) for one, event in done)
            self._deliver(asked.sender, Envelope(mail.to, answers, cause=asked.id))

    def _news(self) -> None:
        to, envelope = self.machine.news[0]
        for _ in range(1 + self.fortune.strikes("ended twice")):
            self._deliver(to, envelope)
        self.machine.news.popleft()

    def _hear(self, proc: str) -> None:
        self.machine.hear(proc, self.fortune.some(8))
        if self.fortune.strikes("heard twice"):
            self.machine.restart()

    def _fire(self, key: tuple[Address, str]) -> None:
        me, name = key
        fire = self._timers[key].fire
        envelope = Envelope(TIMERS, (letter(Fired(), f"{me}.{name}.{fire.generation}"),), fire=fire)
        for _ in range(1 + self.fortune.strikes("fired twice")):
            self._deliver(me, envelope)
        self._timers.pop(key)

    def _deliver(self, to: Address, envelope: Envelope) -> None:
        if to.kind == "out":
            self._show(to, envelope)
            return
        self._mails += 1
        self._boxes.setdefault(to, deque()).append(Mail(to, envelope, EPOCH, self._mails, self.now))

    def _show(self, to: Address, envelope: Envelope) -> None:
        """Show cards as a bridge does: an older one than is shown stays unseen."""
        bridge, _, key = to.key.partition(".")
        shown = self._cards.setdefault(Address(f"chat_{bridge}", key), [])
        for one in envelope.letters:
            card = one.open()
            assert isinstance(card, Card)
            if all(card.revision > old.revision for old in shown if old.id == card.id):
                shown.append(card)

    # the cell

    def _handle(self, mail: Mail) -> None:
        """Do with one mail what the cell does; a cut leaves it where it is."""
        record, revision = self._load(mail.to)
        if repeated(record, mail):
            if record and record.last == mail.seq:
                self._post_all(record, revision, mail)
            return
        decided = self._decide(record, mail)
        if decided is not None:
            self.fortune.cut("cut before it is saved")
            revision = self._save(mail, decided)
            self.fortune.cut("cut before it is posted")
            self._post_all(decided, revision, mail)
        self.fortune.cut("cut before it is settled")
        if self.fortune.strikes("settled in vain"):
            self._boxes[mail.to].insert(1, mail)

    def _decide(self, record: Record[object] | None, mail: Mail) -> Record[object] | None:
        actor = self._actor(mail.to)
        if record and record.quarantine:
            self.dead.append((mail.to, mail.envelope, record.quarantine))
            return record.model_copy(update={"epoch": mail.epoch, "last": mail.seq, "at": mail.at, "outbox": ()})
        try:
            decided = transition(actor, record, mail)
            if decided is not None:
                encode(decided)
        except Unreadable as error:
            self.dead.append((mail.to, mail.envelope, str(error)))
            return skipped(actor, record, mail)
        except Exception as error:  # noqa: BLE001  # as in the cell: the wall around a bug in a step
            why = f"{type(error).__name__}: {error}"
            self.dead.append((mail.to, mail.envelope, why))
            return failed(actor, record, mail, why)
        return decided

    def _load(self, me: Address) -> tuple[Record[object] | None, int]:
        stored = self._records.get(me)
        return (decode(self._actor(me), stored.data), stored.revision) if stored else (None, 0)

    def _save(self, mail: Mail, record: Record[object]) -> int:
        self._writes += 1
        self._records[mail.to] = Stored(encode(record), self._writes)
        self._last[mail.to] = mail
        assert self._load(mail.to)[0] == record, f"the record of {mail.to} is not read as it was written"
        return self._writes

    def _post_all(self, record: Record[object], revision: int, mail: Mail) -> None:
        while given_up := self._post(record, revision, mail):
            record = undelivered(self._actor(mail.to), record, mail, given_up)
            revision = self._save(mail, record)
            self.fortune.cut("cut before it is posted")

    def _post(self, record: Record[object], revision: int, mail: Mail) -> tuple[tuple[Parcel, str], ...]:
        """Post in parallel, so in any order; return what was given up."""
        if self.now - record.at > timedelta(days=MARK_DAYS):
            self.dead.append((mail.to, mail.envelope, "too old to be sent"))
            return ()
        given_up: list[tuple[Parcel, str]] = []
        for place, outgoing in self.fortune.shuffle(tuple(enumerate(record.outbox))):
            self.fortune.cut("cut while it is posted")
            if isinstance(outgoing, Parcel) and outgoing.to in self.full:
                given_up.append((outgoing, f"the mailbox of {outgoing.to} is full"))
            else:
                self._one(mail.to, outgoing, (revision, place))
        return tuple(given_up)

    def _one(self, me: Address, outgoing: Outgoing, place: tuple[int, int]) -> None:
        match outgoing:
            case Parcel(to=to, letters=letters, cause=cause, person=person):
                envelope = Envelope(me, letters, cause=cause, person=person, mark=Mark(EPOCH, place[0]))
                self._said.append((to, envelope))
                self._deliver(to, envelope)
            case Row(letter=one):
                self._tell(me, one.id, one.open(), place)
            case Answer(inbox=inbox, letter=one):
                assert self._answers.setdefault(inbox, one.open()) == one.open(), "two answers to one question"
            case SetTimer(timer=name, generation=generation, due=due):
                self._timers[me, name] = Alarm(Fire(name, generation), due)
            case DropTimer(timer=name):
                self._timers.pop((me, name), None)

    def _tell(self, me: Address, id_: str, event: Message, place: tuple[int, int]) -> None:
        assert isinstance(event, Event)
        if all(one.id != id_ or self.now - one.at > WINDOW for one in self.log):
            self.log.append(Told(me, event, id_, self.now, place))

    def _describe(self, session: Address) -> SessionView:
        view = self.ask(session, DescribeSession())
        assert isinstance(view, SessionView)
        return view

    def _actor(self, me: Address) -> Actor[object]:
        found = actor_of(CAST, me.kind)
        assert found, f"nobody plays {me}"
        return found
