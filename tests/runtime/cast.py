"""A small cast for the tests of the runtime: an account that counts, forwards, waits and fails on demand."""

from dataclasses import dataclass, replace

from actors.runtime.actor import Actor, Budget, Cause, Step
from actors.runtime.effects import After, Cancel, Publish, Reply, Send, Stop
from protocol.address import Address
from protocol.message import Command, Event, Message, Query, View
from protocol.node import Undelivered


class Add(Command):
    n: int
    then: Address | None = None


class Added(Event):
    n: int


class Boom(Command):
    pass


class Wait(Command):
    seconds: float
    n: int
    timer: str = "t"


class Forget(Command):
    timer: str = "t"


class Leave(Command):
    pass


class Begin(Command):
    birth = True


class Grow(Command):
    size: int


class Chatter(Command):
    pass


class Sum(Query):
    pass


class SumView(View):
    numbers: tuple[int, ...]
    lost: int = 0
    text: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    numbers: tuple[int, ...] = ()
    lost: int = 0
    text: str = ""


def born(_: Address) -> Account:
    return Account()


def step(account: Account, message: Message, _: Cause) -> Step[Account]:
    match message:
        case Add(n=n, then=then):
            grown = replace(account, numbers=(*account.numbers, n))
            onward = (Send(then, Add(n=n)),) if then else ()
            return Step(grown, (*onward, Publish(Added(n=n)), Reply(SumView(numbers=grown.numbers))))
        case Boom():
            raise ZeroDivisionError("boom")
        case Wait(seconds=seconds, n=n, timer=name):
            return Step(account, (After(seconds, Add(n=n), name),))
        case Forget(timer=name):
            return Step(account, (Cancel(name),))
        case Undelivered():
            return Step(replace(account, lost=account.lost + 1))
        case Added(n=n):
            return Step(replace(account, numbers=(*account.numbers, -n)))
        case Grow(size=size):
            return Step(replace(account, text="x" * size))
        case Chatter():
            return Step(account, (Send(Address("account", "a"), Chatter()),))
        case Begin():
            return Step(Account())
        case Leave():
            return Step(account, (Stop(),))
    return Step(account)


def answer(account: Account, _: Query, __: Cause) -> View:
    return SumView(numbers=account.numbers, lost=account.lost, text=len(account.text))


ACTOR = Actor(kind="account", state=Account, born=born, step=step, answer=answer, budget=Budget(failures=3, seconds=60))
CAST = {"account": ACTOR}
