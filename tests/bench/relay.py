"""The actor that is measured: it counts, and hands a baton on to the next of its ring until its rounds are run."""

import asyncio
import os
import time
from dataclasses import dataclass, field

from actors.runtime.actor import Actor, Cause, Step
from actors.runtime.effects import After, Reply, Send
from protocol.address import Address
from protocol.message import Command, Event, Message, Query, View

RING = 8
PID = os.getpid()


class Baton(Command):
    """One more hop for each that is ``left``."""

    ring: int
    place: int = 0
    left: int = 0


class Alarm(Command):
    """Wake up ``count`` times at one moment, in seconds since 1970."""

    at: float
    count: int


class Rung(Event):
    """The moment has come."""

    at: float


class Ping(Command):
    """Who plays you?"""


class Played(View):
    """The process that does."""

    pid: int


class Count(Query):
    """How many batons were handed on?"""


class Counted(View):
    n: int


@dataclass(frozen=True, slots=True)
class Relay:
    hops: int = 0


@dataclass
class Course:
    """The watch: when each baton (or alarm) reached an actor. What is measured is this, not what actors say of it."""

    passed: list[float] = field(default_factory=list)
    wanted: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, wanted: int) -> None:
        self.passed.clear()
        self.done.clear()
        self.wanted = wanted

    def tick(self, figure: float) -> None:
        self.passed.append(figure)
        if len(self.passed) == self.wanted:
            self.done.set()


def runner(ring: int, place: int) -> Address:
    return Address("relay", f"r{ring}-{place % RING}")


def cast(course: Course) -> dict[str, Actor]:
    """Return the cast of a host; its one actor looks at the watch in each step."""

    def step(relay: Relay, message: Message, cause: Cause) -> Step[Relay]:
        grown = Relay(relay.hops + 1)
        match message:
            case Baton(ring=ring, place=place, left=left):
                course.tick(time.perf_counter())
                onward = Baton(ring=ring, place=place + 1, left=left - 1)
                return Step(grown, (Send(runner(ring, place + 1), onward),) if left else ())
            case Alarm(at=at, count=count):
                seconds = at - cause.at.timestamp()
                return Step(relay, tuple(After(seconds, Rung(at=at), f"t{number}") for number in range(count)))
            case Ping():
                return Step(relay, (Reply(Played(pid=PID)),))
            case Rung(at=at):
                course.tick(time.time() - at)
                return Step(grown)
        return Step(relay)

    def answer(relay: Relay, _: Query, __: Cause) -> View:
        return Counted(n=relay.hops)

    return {"relay": Actor(kind="relay", state=Relay, born=lambda _: Relay(), step=step, answer=answer)}
