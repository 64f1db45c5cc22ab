"""One actor on a table: messages are laid before it, and what it wants of the world is read off."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

from pydantic import TypeAdapter

from actors.runtime.actor import Actor, Cause
from actors.runtime.effects import Effect, Reply, Send
from protocol.address import Address
from protocol.message import Message, Query, View

S = TypeVar("S")
M = TypeVar("M", bound=Message)

NOON = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
DOOR = Address("door", "cli")
ROOM = Address("chat_cli", "desk")


@dataclass
class Table(Generic[S]):
    """Keeps the state between messages, and writes and reads it as JSON after each."""

    actor: Actor[S]
    me: Address
    state: S = field(init=False)
    count: int = 0
    effects: tuple[Effect, ...] = ()

    def __post_init__(self) -> None:
        self.state = self.actor.born(self.me)

    def say(self, message: Message, sender: Address = DOOR, *, re: str = "") -> tuple[Effect, ...]:
        """Lay a message before the actor; its id is ``m1``, ``m2`` and so on."""
        self.count += 1
        id_ = f"m{self.count}"
        inbox = f"inbox.{id_}" if sender == DOOR else ""
        cause = Cause(self.me, NOON, sender, id_, seed=f"{self.me}:{id_}", re=re, inbox=inbox)
        state, self.effects = self.actor.step(self.state, message, cause)
        shape = TypeAdapter(self.actor.state)
        self.state = shape.validate_json(shape.dump_json(state))
        assert self.state == state
        return self.effects

    def ask(self, query: Query) -> View:
        """Ask, and change nothing."""
        return self.actor.answer(self.state, query, Cause(self.me, NOON, DOOR, "q", "q"))

    def sent(self, to: Address) -> tuple[Message, ...]:
        """Return what the last step has sent to somebody, in order."""
        return tuple(one.message for one in self.effects if isinstance(one, Send) and one.to == to)

    def id(self, to: Address) -> str:
        """Return the id under which the last step has sent something to somebody."""
        return next(one.id for one in reversed(self.effects) if isinstance(one, Send) and one.to == to and one.id)

    @property
    def receivers(self) -> list[str]:
        """Return to whom the last step has sent something."""
        return [str(one.to) for one in self.effects if isinstance(one, Send)]

    @property
    def replies(self) -> list[Message]:
        """Return what the last step has replied."""
        return [one.message for one in self.effects if isinstance(one, Reply)]

    @property
    def answered(self) -> list[str]:
        """Return the ids of those whom the last step has answered later (or nothing, for the message at hand)."""
        return [one.to.id if one.to else "" for one in self.effects if isinstance(one, Reply)]
