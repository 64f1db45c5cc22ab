"""What every message shares: frozen, checked at birth, and named by its own class.

The wire name of a message is ``module.Class``, so a rename is a change of the wire. A reader ignores fields that it
does not know: processes of two versions read each other's messages, and new fields get defaults.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from protocol.errors import Unreadable

_known: dict[str, type["Message"]] = {}


class Part(BaseModel):
    """A value inside messages; it has no wire name of its own."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)


class Message(Part):
    """One thing said. It never changes once said."""

    name: ClassVar[str] = ""
    birth: ClassVar[bool] = False
    """True where this message may bring an actor to life again after it has stopped."""

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        """Learn the wire name of each message as it is declared."""
        cls.name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
        _known[cls.name] = cls


class Command(Message):
    """Somebody wants something. The receiver may refuse."""


class Event(Message):
    """Something happened. Nobody can refuse the past."""


class Query(Message):
    """Somebody wants to know something. Asking changes nothing."""


class View(Event):
    """The answer to a query."""


def known(name: str) -> type[Message]:
    """Return the message class that bears a wire name, or raise ``Unreadable``."""
    if found := _known.get(name):
        return found
    raise Unreadable(f"no message is called {name!r}")


def names() -> tuple[str, ...]:
    """Return every wire name, sorted."""
    return tuple(sorted(_known))
