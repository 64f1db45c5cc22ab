"""A stage for one actor: it says messages to it by plain calls, and keeps what the actor wants of the world."""

from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from actors.runtime.actor import Actor, Cause
from actors.runtime.effects import After, Cancel, Effect, Publish, Reply, Send, Stop
from actors.runtime.record import OUTBOX_LIMIT, RECORD_LIMIT
from protocol.address import Address
from protocol.envelope import letter
from protocol.message import Message

S = TypeVar("S")
M = TypeVar("M", bound=Message)

DOOR = Address("door", "cli")
WATCHERS = 2


class Play(Generic[S]):
    """One actor and everything that was said by it. After each step its state goes through JSON and back."""

    def __init__(self, actor: Actor[S], me: Address) -> None:
        self.actor, self.me, self.state = actor, me, actor.born(me)
        self.adapter = TypeAdapter(actor.state)
        self.at = datetime(2026, 3, 1, tzinfo=UTC)
        self.effects: list[Effect] = []
        self.timers: dict[str, After] = {}
        self.stopped = False
        self.mails = 0

    def say(self, message: Message, sender: Address = DOOR, re: str = "") -> tuple[Effect, ...]:
        """Take one step; return what it wants."""
        self.mails += 1
        self.at += timedelta(seconds=1)
        cause = Cause(self.me, self.at, sender, f"m{self.mails}", f"{self.me}:{self.mails}", re=re)
        before = self.state
        self.state, effects = self.actor.step(before, message, cause)
        assert self.actor.step(before, message, cause) == (self.state, effects)
        written = self.adapter.dump_json(self.state)
        assert self.adapter.validate_json(written) == self.state
        said = sum(self._size(effect) for effect in effects)
        assert said <= OUTBOX_LIMIT
        assert said + len(written) <= RECORD_LIMIT
        self._keep(effects)
        return effects

    def ring(self, name: str) -> tuple[Effect, ...]:
        """Let a timer fire."""
        timer = self.timers.pop(name)
        self.at += timedelta(seconds=timer.seconds)
        return self.say(timer.message, self.me)

    def sent(self, kind: type[M]) -> list[M]:
        """Return every message of a kind that was sent."""
        return [one.message for one in self.effects if isinstance(one, Send) and isinstance(one.message, kind)]

    def send(self, kind: type[M]) -> Send:
        """Return the last sending of a kind."""
        return [one for one in self.effects if isinstance(one, Send) and isinstance(one.message, kind)][-1]

    def told(self, kind: type[M]) -> list[M]:
        """Return every event of a kind that was published."""
        return [one.event for one in self.effects if isinstance(one, Publish) and isinstance(one.event, kind)]

    def replies(self) -> list[Message]:
        return [one.message for one in self.effects if isinstance(one, Reply)]

    def answer(self, kind: type[Message], event: Message) -> tuple[Effect, ...]:
        """Answer the last command of a kind, as its worker."""
        asked = self.send(kind)
        return self.say(event, asked.to, asked.id)

    def _keep(self, effects: tuple[Effect, ...]) -> None:
        self.effects.extend(effects)
        for effect in effects:
            match effect:
                case After(name=name):
                    self.timers[name] = effect
                case Cancel(name=name):
                    self.timers.pop(name, None)
                case Stop():
                    self.stopped = True
                    self.timers.clear()

    def _size(self, effect: Effect) -> int:
        """Measure as the runtime does: the letter as JSON within JSON, once for each who gets it."""
        match effect:
            case Send(message=message) | Reply(message=message):
                copies = 1
            case Publish(event=message):
                copies = 1 + WATCHERS
            case _:
                return 0
        one = letter(message, "0" * 16)
        return copies * (len(TypeAdapter(type(one)).dump_json(one)) + 100)
