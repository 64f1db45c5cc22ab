"""Those who do: stateless hands that may touch disk, network and processes. This file is their contract."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from protocol.address import Address
from protocol.message import Event
from protocol.work import Work

W = TypeVar("W", bound=Work)
Do = Callable[[Work, Address], Awaitable[Event]]


@dataclass(frozen=True, slots=True)
class Worker:
    """Does. One command in, one event out; a command may come twice. ``WorkFailed`` becomes the event ``Failed``."""

    name: str
    does: Mapping[type[Work], Do]


def does(command: type[W], do: Callable[[W], Awaitable[Event]]) -> tuple[type[Work], Do]:
    """Pair a command with the function that does it."""

    async def for_anybody(given: W, _: Address) -> Event:
        return await do(given)

    return command, cast("Do", for_anybody)


def serves(command: type[W], do: Callable[[W, Address], Awaitable[Event]]) -> tuple[type[Work], Do]:
    """Pair a command with the function that does it for somebody: it gets the address of who asks."""
    return command, cast("Do", do)
