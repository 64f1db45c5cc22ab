"""What one mail makes of a record: pure, and the whole of what a step means.

The cell around it only loads, saves, posts and acknowledges. The rules that make a mail take effect once live here:
what was heard before (by sequence, by the mark of its sender, by id), which results are still awaited, which timers
still run, and what is gathered for whom.
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Generic, TypeVar, assert_never

from actors.runtime.actor import Actor, Cause
from actors.runtime.effects import After, Asker, Cancel, Effect, Publish, Reply, Send, Stop
from actors.runtime.ports import Mail
from actors.runtime.record import (
    MARK_DAYS,
    OUTBOX_LIMIT,
    REPLIES,
    WATCHERS,
    Answer,
    DropTimer,
    Heard,
    Outgoing,
    Parcel,
    Record,
    Replied,
    Row,
    SetTimer,
    Timer,
)
from actors.runtime.shape import StepFailed, shape
from protocol.address import Address, address
from protocol.envelope import Letter, letter
from protocol.errors import Unreadable
from protocol.message import Command, Message, Query
from protocol.node import Quarantined, Refusal, Release, Undelivered, Unwatch, Watch
from protocol.work import Work

S = TypeVar("S")

OPEN = 256
"""Commands that one actor may have at workers at a time."""
SELF = 64
"""Messages that one mail may make an actor say to itself."""
DOOR = "door"
"""The kind of those who speak from outside: bridges and the commands of the operator."""
TOKENS = {"work": 3, "out": 2, "proc": 2}
"""Of how many tokens a key is made, where not of one."""
OUTSIDE = (DOOR, "work", "timer")
"""Kinds that send without a record of their own, so without marks."""


def repeated(record: "Record[S] | None", mail: Mail) -> bool:
    """Tell whether this very mail has been handled before."""
    return record is not None and mail.seq <= record.last


def transition(actor: Actor[S], record: "Record[S] | None", mail: Mail) -> "Record[S] | None":
    """Return the record after this mail, or None where the mail changes nothing. What ``step`` raises, this raises."""
    fold = _Fold(actor, record, mail)
    envelope = mail.envelope
    if _marked(record, mail):
        return None
    if envelope.fire:
        return fold.fire() if _awaited(record, mail) else None
    for index, one in enumerate(envelope.letters):
        fold.hear(one, index)
    return fold.written()


def resting(record: "Record[S]", mail: Mail) -> bool:
    """Tell whether an actor is not to hear a mail, since it failed too often and nobody lets it go on."""
    return bool(record.quarantine) and all(one.name != Release.name for one in mail.envelope.letters)


def parked(record: "Record[S]", mail: Mail) -> "Record[S]":
    """Return the record of a resting actor after a mail that was put aside."""
    return record.model_copy(update={"epoch": mail.epoch, "last": mail.seq, "at": mail.at, "outbox": ()})


def undelivered(
    actor: Actor[S], record: "Record[S]", mail: Mail, given_up: tuple[tuple[Parcel, str], ...]
) -> "Record[S]":
    """Return the record after the actor has heard that some of what it said was given up."""
    fold = _Fold(actor, record, mail, salt="undelivered")
    for index, (parcel, why) in enumerate(given_up):
        for one in parcel.letters:
            fold.step(Undelivered(to=parcel.to, id=one.id, why=why), fold.cause(f"{one.id}:{index}", ""))
            fold.close(one.id)
    return fold.written()


def skipped(actor: Actor[S], record: "Record[S] | None", mail: Mail) -> "Record[S]":
    """Return the record after a mail that nobody can read: it is put aside, and the actor goes on."""
    return _Fold(actor, record, mail, salt="skipped").written()


def failed(
    actor: Actor[S],
    record: "Record[S] | None",
    mail: Mail,
    why: str,
    given_up: tuple[tuple[Parcel, str], ...] = (),
) -> "Record[S]":
    """Return the record after a mail on which ``step`` failed, with the budget of failures charged.

    ``given_up`` is what the actor was hearing of when it failed; nobody will answer that any more.
    """
    fold = _Fold(actor, record, mail, salt="failed")
    for parcel, _ in given_up:
        for one in parcel.letters:
            fold.close(one.id)
    horizon = mail.at - timedelta(seconds=actor.budget.seconds)
    fold.failures = (*(at for at in fold.failures if at > horizon), mail.at)
    if len(fold.failures) >= actor.budget.failures and not fold.quarantine:
        fold.quarantine = why
        text = (
            f"{mail.to} failed {len(fold.failures)} times and rests; its mail is kept in DEAD. The last failure: {why}"
        )
        fold.publish(Quarantined(text=text), fold.cause("quarantine", ""))
    return fold.written()


def _marked(record: "Record[S] | None", mail: Mail) -> bool:
    mark = mail.envelope.mark
    heard = record.marks.get(str(mail.envelope.sender)) if record else None
    return bool(mark and heard and heard.mark.epoch == mark.epoch and mark.revision <= heard.mark.revision)


def _awaited(record: "Record[S] | None", mail: Mail) -> bool:
    fire = mail.envelope.fire
    timer = record.timers.get(fire.timer) if record and fire else None
    return bool(timer and fire and timer.generation == fire.generation)


def _real(to: Address) -> Address:
    """Return an address that can be written to; to any other its sender would try for ever."""
    try:
        real = address(str(to))
    except Unreadable as error:
        raise StepFailed(str(error)) from error
    if real.key.count(".") + 1 != TOKENS.get(real.kind, 1):
        raise StepFailed(f"{to} is nobody's address")
    return real


@dataclass
class _Fold(Generic[S]):
    """A record in the making. It lives as long as one mail is handled."""

    actor: Actor[S]
    record: "Record[S] | None"
    mail: Mail
    salt: str = ""
    letters: dict[Address, list[Letter]] = field(default_factory=dict)
    rest: list[Outgoing] = field(default_factory=list)
    myself: deque[tuple[Message, Cause]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Take out of the record what a step may change."""
        old = self.record
        self.state: S = old.state if old else self.actor.born(self.mail.to)
        self.timers = dict(old.timers) if old else {}
        self.replies = old.replies if old else ()
        self.open = old.open if old else ()
        self.watchers = old.watchers if old else ()
        self.failures: tuple[datetime, ...] = old.failures if old else ()
        self.generation = old.generation if old else 0
        self.quarantine = old.quarantine if old else ""
        self.stopped = old.stopped if old else False
        self.said = 0

    # hearing

    def hear(self, one: Letter, index: int) -> None:
        sender = self.mail.envelope.sender
        if sender.kind == "work" and one.re:
            if one.re not in self.open:
                return
            self.close(one.re)
        if sender.kind == DOOR and self._answered(one):
            return
        message = one.open()
        cause = self.cause(f"{one.id}:{index}", one.re, one.id)
        if self.stopped and not message.birth:
            # Only who wants something is answered: two that have ended must not go on telling each other so.
            if isinstance(message, Command | Query):
                self._reply(Refusal(text=f"{self.mail.to} has ended"), cause.asker, cause)
        else:
            self._take(message, cause)
        if sender.kind == DOOR and all(done.id != one.id for done in self.replies):
            self.replies = (*self.replies, Replied(id=one.id))[-REPLIES:]

    def fire(self) -> "Record[S]":
        fire = self.mail.envelope.fire
        if fire is not None:
            timer = self.timers.pop(fire.timer)
            self.step(timer.letter.open(), self.cause(f"{fire.timer}:{fire.generation}", "", timer.letter.id))
        return self.written()

    def _take(self, message: Message, cause: Cause) -> None:
        match message:
            case Watch(watcher=watcher):
                self.watchers = tuple(dict.fromkeys((*self.watchers, _real(watcher or cause.sender))))[-WATCHERS:]
            case Unwatch(watcher=watcher):
                self.watchers = tuple(one for one in self.watchers if one != (watcher or cause.sender))
            case Release():
                self.quarantine, self.failures = "", ()
                # What came due while it rested was put aside: whatever still runs is set over itself.
                for name, one in self.timers.items():
                    self.rest.append(SetTimer(timer=name, generation=one.generation, due=one.due))
            case Query():
                self._reply(self.actor.answer(self.state, message, cause), cause.asker, cause)
            case _:
                if self.stopped:
                    self.state, self.stopped, self.quarantine = self.actor.born(self.mail.to), False, ""
                self.step(message, cause)

    def step(self, message: Message, cause: Cause) -> None:
        self.myself.append((message, cause))
        for _ in range(SELF):
            if not self.myself:
                return
            said, why = self.myself.popleft()
            self.state, effects = self.actor.step(self.state, said, why)
            for effect in effects:
                self._do(effect, why)
        raise StepFailed(f"{self.mail.to} went on talking to itself after {SELF} messages")

    def close(self, id_: str) -> None:
        self.open = tuple(one for one in self.open if one != id_)

    def cause(self, seed: str, re: str, id_: str = "") -> Cause:
        mail = self.mail
        return Cause(
            me=mail.to,
            at=mail.at,
            sender=mail.envelope.sender,
            id=id_ or seed,
            seed=f"{mail.to}:{mail.epoch}:{mail.seq}:{self.salt}:{seed}",
            person=mail.envelope.person,
            re=re,
            inbox=mail.envelope.inbox,
        )

    # saying

    def _do(self, effect: Effect, cause: Cause) -> None:
        match effect:
            case Send(to=to, message=message, id=id_):
                self._send(to, message, id_ or self._name(cause))
            case Publish(event=event):
                self.publish(event, cause)
            case Reply(message=message, to=asker):
                self._reply(message, asker or cause.asker, cause)
            case After(seconds=seconds, message=message, name=name):
                self._forget(name)
                self.generation += 1
                due = cause.at + timedelta(seconds=seconds)
                one = letter(message, self._name(cause))
                self.timers[name] = Timer(generation=self.generation, due=due, letter=one)
                self.rest.append(SetTimer(timer=name, generation=self.generation, due=due))
            case Cancel(name=name):
                self._forget(name)
            case Stop():
                self.stopped = True
                for name in tuple(self.timers):
                    self._forget(name)
            case _:
                assert_never(effect)

    def _forget(self, name: str) -> None:
        """Drop exactly the setting that runs: what a step says goes out in no order, and may go out late."""
        if timer := self.timers.pop(name, None):
            setting = (name, timer.generation)
            others = [
                one for one in self.rest if not isinstance(one, SetTimer) or (one.timer, one.generation) != setting
            ]
            if len(others) == len(self.rest):
                others.append(DropTimer(timer=name, generation=timer.generation))
            self.rest = others

    def _send(self, to: Address, message: Message, id_: str) -> None:
        if to == self.mail.to:
            self.myself.append((message, self.cause(id_, "", id_)))
            return
        _real(to)
        if to.kind == "work" and isinstance(message, Work):
            self.open = (*self.open, id_)
            if len(self.open) > OPEN:
                raise StepFailed(f"{self.mail.to} has more than {OPEN} commands at workers")
        self.letters.setdefault(to, []).append(letter(message, id_))

    def publish(self, event: Message, cause: Cause) -> None:
        id_ = self._name(cause)
        self.rest.append(Row(letter=letter(event, id_), cause=cause.id))
        for watcher in self.watchers:
            self.letters.setdefault(watcher, []).append(letter(event, id_))

    def _reply(self, message: Message, asker: Asker, cause: Cause) -> None:
        if asker.inbox:
            one = letter(message, f"{asker.id}.r", asker.id)
            self.rest.append(Answer(inbox=asker.inbox, letter=one))
            kept = tuple(done for done in self.replies if done.id != asker.id)
            self.replies = (*kept, Replied(id=asker.id, letter=one))[-REPLIES:]
        elif asker.address.kind not in OUTSIDE:
            # Somebody may be answered twice, first that it is begun and later that it is done: two ids.
            self.letters.setdefault(asker.address, []).append(letter(message, self._name(cause), asker.id))

    def _answered(self, one: Letter) -> bool:
        """Answer again what was answered before; tell whether it was heard before."""
        for done in self.replies:
            if done.id == one.id:
                if done.letter and self.mail.envelope.inbox:
                    self.rest.append(Answer(inbox=self.mail.envelope.inbox, letter=done.letter))
                return True
        return False

    def _name(self, cause: Cause) -> str:
        self.said += 1
        return cause.derive(f"said:{self.said}")

    # writing

    def written(self) -> "Record[S]":
        envelope, mail = self.mail.envelope, self.mail
        horizon = mail.at - timedelta(days=MARK_DAYS)
        marks = {who: one for who, one in (self.record.marks if self.record else {}).items() if one.at > horizon}
        if envelope.mark:
            marks[str(envelope.sender)] = Heard(mark=envelope.mark, at=mail.at)
        posts = (
            Parcel(to=to, letters=tuple(letters), cause=envelope.id, person=envelope.person)
            for to, letters in self.letters.items()
        )
        record = shape(self.actor.state)(
            version=self.actor.version,
            state=self.state,
            epoch=mail.epoch,
            last=mail.seq,
            at=mail.at,
            marks=marks,
            outbox=(*posts, *self.rest),
            timers=self.timers,
            generation=self.generation,
            replies=self.replies,
            open=self.open,
            watchers=self.watchers,
            failures=self.failures,
            quarantine=self.quarantine,
            stopped=self.stopped,
        )
        if (size := sum(len(one.model_dump_json()) for one in record.outbox)) > OUTBOX_LIMIT:
            raise StepFailed(f"{mail.to} wants to say {size} bytes at once, {OUTBOX_LIMIT} are allowed")
        return record
