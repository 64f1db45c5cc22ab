"""A kind of actor in its first version: a purse of coins."""

from dataclasses import dataclass

from actors.runtime.actor import Actor, Cause, Step
from actors.runtime.effects import After, Effect, Publish, Reply, Send
from protocol.address import Address
from protocol.message import Command, Event, Message, Query, View


class Put(Command):
    coins: int
    then: Address | None = None


class PutLater(Command):
    coins: int
    seconds: float


class Grew(Event):
    coins: int


class Count(Query):
    pass


class Counted(View):
    coins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Purse:
    coins: tuple[int, ...] = ()


def effects(message: Message) -> tuple[Effect, ...]:
    """Return what a purse of any version wants of the world."""
    match message:
        case Put(coins=coins, then=then):
            if coins < 0:
                raise ArithmeticError("a purse holds no debts")
            onward = (Send(then, Put(coins=coins)),) if then else ()
            return (*onward, Publish(Grew(coins=coins)), Reply(Counted(coins=(coins,))))
        case PutLater(coins=coins, seconds=seconds):
            return (After(seconds, Put(coins=coins), "later"),)
    return ()


def _step(purse: Purse, message: Message, _: Cause) -> Step[Purse]:
    coins = (message.coins,) if isinstance(message, Put) else ()
    return Step(Purse((*purse.coins, *coins)), effects(message))


def _answer(purse: Purse, _: Query, __: Cause) -> View:
    return Counted(coins=purse.coins)


ONE = Actor("purse", Purse, lambda _: Purse(), _step, _answer)
