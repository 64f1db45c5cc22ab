"""A world without wires: the real actors and the real core of the runtime, fake workers, and time that obeys.

A delivery is done by the same code as in a host (``actors/runtime/delivery.py``), with hands that never wait. Nothing
is kept between two of them but what is written, and the wire knows no mail again by its id: that each takes effect once
is left to the record.
"""

import functools
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from actors.host import CAST
from actors.runtime.actor import Actor, Cause
from actors.runtime.delivery import handle
from actors.runtime.ports import Conflict, Mail
from actors.runtime.shape import Newer
from actors.runtime.supervisor import Cast, actor_of
from protocol.address import Address, address
from protocol.chat import Card
from protocol.envelope import Envelope, letter
from protocol.errors import Unreachable
from protocol.hub import AddRepo
from protocol.message import Event, Message, Query, View
from protocol.node import Fired
from protocol.session import DescribeSession, Place, SessionView
from protocol.work import Ticket
from tests.backstage import EPOCH, Backstage, Deeds, Setting, drive
from tests.checkout import Checkout
from tests.fault import Cut, Fortune, Misfortune
from tests.machine import NODE, Machine

HUB = Address("hub", "main")
DOOR = Address("door", "cli")
TIMERS = Address("timer", "stage")
ENOUGH = 50_000
"""Deliveries after which a world that is not at rest never will be."""


class Stage:
    """Plays. With a seed (or a fortune of another kind) everything goes wrong that may, and it must not be seen."""

    def __init__(self, fortune: int | Fortune | None = None, cast: Cast = CAST) -> None:
        chosen = Misfortune(fortune) if isinstance(fortune, int) else fortune
        self.fortune = chosen or Fortune()
        self.back = Backstage(self.fortune, self._deliver)
        self.machine = Machine(self._describe, self._deliver)
        self.log, self.dead, self.full = self.back.log, self.back.dead, self.back.full
        self.left: set[Address] = set()
        """Whose mail is left to a newer host, while there is one."""
        self._cast = cast
        self._boxes: dict[Address, deque[Mail]] = {}
        self._cards: dict[Address, list[Card]] = {}
        self._last: dict[Address, Mail] = {}
        self._mails = self._lines = 0

    @property
    def now(self) -> datetime:
        """Return the time of the server, and of everybody."""
        return self.back.now

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
            self.back.now = max(soon, self.now)
            self.settle()
        self.back.now = until
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
            if self.fortune.strikes("said again much later") and (late := self.back.late):
                self.fortune.pick(late)()
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
        return self.back.answers.get(id_)

    @property
    def waiting(self) -> list[str]:
        """Return whose mail lies there and whose timers are set: of those who are at rest there are none."""
        mail = [str(me) for me, box in self._boxes.items() if box and (me.kind != "work" or self.machine.serves(me))]
        return [*mail, *(f"{one.me} {one.timer}" for one in self.back.timers)]

    def cards(self, room: Address | str) -> list[Card]:
        """Return what a room was shown, in order, each change of a card by itself."""
        return self._cards.get(address(room) if isinstance(room, str) else room, [])

    def state(self, whose: Address | str) -> object:
        """Return the state of an actor, as it is written."""
        me = address(whose) if isinstance(whose, str) else whose
        actor = self._actor(me)
        record = self.back.load(actor, me).record
        return record.state if record else actor.born(me)

    def ask(self, whom: Address, query: Query) -> View:
        """Ask an actor without waking it."""
        cause = Cause(whom, self.now, DOOR, "query", "query")
        return self._actor(whom).answer(self.state(whom), query, cause)

    def actors(self, kind: str) -> list[Address]:
        """Return the actors of a kind that were ever awake, the first of them first."""
        return [me for me in self.back.records if me.kind == kind]

    # what may happen next

    def _ready(self) -> list[Callable[[], None]]:
        """Return all that can happen now, in the order in which it happens where nothing goes wrong."""
        machine = self.machine
        read = (box for me, box in self._boxes.items() if me.kind != "work" or machine.serves(me))
        boxes = [box for box in read if box and not (self.back.newer and box[0].to in self.left)]
        mails = [functools.partial(self._take, box) for box in sorted(boxes, key=lambda box: box[0].seq)]
        news = [self._news] if machine.news else []
        lines = [functools.partial(self._hear, proc) for proc in machine.behind()]
        deeds = [functools.partial(machine.act, proc, self.now) for proc in machine.ready(self.now)]
        timers = [functools.partial(self._fire, one) for one, due in self.back.timers.items() if due <= self.now]
        return [*mails, *news, *lines, *deeds, *timers]

    def _awaited(self) -> list[datetime]:
        return [*self.back.timers.values(), *self.machine.awaited()]

    def _take(self, box: deque[Mail]) -> None:
        mail = box[0]
        if mail.to.kind == "work":
            self._work(mail)
        elif not self._handle(mail):
            return
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

    def _fire(self, one: Setting) -> None:
        envelope = Envelope(TIMERS, (letter(Fired(), f"{one.me}.{one.timer}.{one.generation}"),), fire=one.fire)
        for _ in range(1 + self.fortune.strikes("fired twice")):
            self._deliver(one.me, envelope)
        self.back.timers.pop(one)

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

    # the host

    def _handle(self, mail: Mail) -> bool:
        """Do with one mail what a host does; tell whether it is done with. A cut leaves it where it is."""
        actor = self._actor(mail.to)
        deeds = Deeds(self.back, actor, mail.to, lambda: self._rival(mail))
        try:
            known = drive(handle(actor, deeds, self.back.load(actor, mail.to), mail))
        except (Unreachable, Conflict):
            return False
        except Newer:
            self.left.add(mail.to)
            return False
        found = self.back.load(actor, mail.to)
        assert found == known, f"the record of {mail.to} is not read as it was written"
        if known.record and known.record.last == mail.seq:
            self._last[mail.to] = mail
        self.fortune.cut("cut before it is settled")
        if self.fortune.strikes("settled in vain"):
            self._boxes[mail.to].insert(1, mail)
        return True

    def _rival(self, mail: Mail) -> None:
        """Be another host that has the same mail in hand, and is cut off where that happens."""
        with suppress(Cut):
            self._handle(mail)

    def _describe(self, session: Address) -> SessionView:
        view = self.ask(session, DescribeSession())
        assert isinstance(view, SessionView)
        return view

    def _actor(self, me: Address) -> Actor[object]:
        found = actor_of(self._cast, me.kind)
        assert found, f"nobody plays {me}"
        return found
