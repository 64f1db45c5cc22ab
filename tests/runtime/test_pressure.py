"""Full mailboxes: nobody hangs, nobody is overtaken, and what was given up is told of once and never said again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from actors.runtime.actor import Actor, Cause, Step
from actors.runtime.effects import Send
from actors.runtime.nats.layout import OUT
from actors.runtime.ports import MAILBOX, Ports
from actors.runtime.shape import decode
from actors.runtime.supervisor import Supervisor
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.message import Command, Message
from protocol.node import Undelivered
from tests.runtime.cast import SumView
from tests.runtime.deaf import deaf
from tests.runtime.world import MemoryWorld, World, world

A, B = Address("player", "a"), Address("player", "b")
FAR = Address("out", "test.room")
"""A box that nobody reads."""
HITS = 8


class Hit(Command):
    """Play a ball to somebody."""

    n: int
    to: Address | None = None


class Ball(Command):
    n: int


@dataclass(frozen=True, slots=True)
class Player:
    log: tuple[str, ...] = ()


def _step(player: Player, message: Message, cause: Cause) -> Step[Player]:
    match message:
        case Hit(n=n, to=to):
            sent = (Send(to, Ball(n=n), f"{cause.me.key}{n}"),) if to else ()
            return Step(Player((*player.log, f"hit {cause.me.key}{n}")), sent)
        case Ball(n=n):
            return Step(Player((*player.log, f"ball {cause.sender.key}{n}")))
        case Undelivered(id=id_):
            return Step(Player((*player.log, f"lost {id_}")))
    return Step(player)


ACTOR = Actor("player", Player, lambda _: Player(), _step, lambda *_: SumView(numbers=()))


@pytest.fixture(params=["memory", "nats"])
def kind(request):
    return request.param


def on(kind, tmp_path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run():
        async with world(kind, tmp_path) as one:
            await story(one)

    asyncio.run(run())


def start(one: World, ports: Ports | None = None) -> None:
    one.supervisor = Supervisor({"player": ACTOR}, ports or one.ports)
    one.host = asyncio.create_task(one.supervisor.run())


async def say(one: World, to: Address, message: Message, id_: str) -> None:
    await one.ports.post.send(to, Envelope(Address("door", "test"), (letter(message, id_),)))


async def log(one: World, who: Address) -> list[str]:
    stored = await one.ports.store.load(who)
    return list(decode(ACTOR, stored.data).state.log) if stored else []


async def quiet(one: World, seconds: float = 30) -> None:
    """Wait until no mail is left for any actor."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while left := await mails(one):
        assert loop.time() < end, left
        await asyncio.sleep(0.02)


async def mails(one: World) -> int:
    if isinstance(one, MemoryWorld):
        return sum(len(box) for to, box in one.memory.boxes.items() if to != FAR)
    return await one.waiting()


async def empty(one: World) -> None:
    """Let somebody read the box that nobody reads."""
    if isinstance(one, MemoryWorld):
        one.memory.boxes[FAR].clear()
    else:
        await one.link.api(f"STREAM.PURGE.{OUT}")


async def far(one: World) -> int:
    if isinstance(one, MemoryWorld):
        return len(one.memory.boxes[FAR])
    return (await one.link.api(f"STREAM.INFO.{OUT}")).number("state", "messages")


async def fill(one: World) -> None:
    await asyncio.gather(*(say(one, FAR, Ball(n=n), f"f{n}") for n in range(MAILBOX)))


def lines(log_: list[str], begin: str) -> list[str]:
    """Return what the lines say that begin with a word."""
    return [line.removeprefix(f"{begin} ") for line in log_ if line.startswith(begin)]


def test_two_that_fill_each_others_mailboxes_do_not_hang_and_lose_nothing_in_silence(kind, tmp_path):
    async def story(one):
        for me, other in ((A, B), (B, A)):
            for n in range(MAILBOX):
                await say(one, me, Hit(n=n, to=other if n < HITS else None), f"{me.key}{n}")
        start(one)
        await quiet(one)
        given_up: list[str] = []
        for me, other in ((A, B), (B, A)):
            mine, theirs = await log(one, me), await log(one, other)
            assert lines(mine, "hit") == [f"{me.key}{n}" for n in range(MAILBOX)]
            lost = lines(mine, "lost")
            # Each ball came or was given up, never both; those that came did so in the order in which they were hit.
            assert lines(theirs, "ball") == [f"{me.key}{n}" for n in range(HITS) if f"{me.key}{n}" not in lost]
            # Whoever hears that one was given up hears it before anything else.
            assert all(mine[mine.index(f"lost {ball}") - 1] == f"hit {ball}" for ball in lost)
            given_up += lost
        assert given_up
        assert len(await one.dead()) == len(given_up)

    on(kind, tmp_path, story)


def test_what_was_given_up_is_told_at_the_next_step_and_never_said_again_even_by_a_new_host(kind, tmp_path):
    async def story(one):
        lost = asyncio.Event()
        lost.set()
        await fill(one)
        for n, to in ((1, B), (2, FAR)):
            await say(one, A, Hit(n=n, to=to), f"m{n}")
        start(one, deaf(one.ports, A, lost))
        await until_log(one, A, ["hit a1", "hit a2", "lost a2"])
        await one.stop()
        await empty(one)
        start(one)  # now there would be room, and the mail that made it comes again
        await quiet(one)
        assert await far(one) == 0
        for n, to in ((3, FAR), (4, B)):
            await say(one, A, Hit(n=n, to=to), f"m{n}")
        await quiet(one)
        assert await far(one) == 1
        assert await log(one, A) == ["hit a1", "hit a2", "lost a2", "hit a3", "hit a4"]
        assert await log(one, B) == ["ball a1", "ball a4"]
        assert await one.dead() == [("out/test-room", "test_pressure.Ball")] or kind == "memory"

    on(kind, tmp_path, story)


def test_the_next_step_waits_for_what_finds_no_room_yet_and_overtakes_nothing(kind, tmp_path):
    async def story(one):
        await fill(one)
        start(one)
        await say(one, A, Hit(n=1, to=FAR), "m1")
        await say(one, A, Hit(n=2, to=B), "m2")
        await until_log(one, A, ["hit a1"])
        await asyncio.sleep(0.5)  # long enough for the second, which must not have begun
        assert (await log(one, A), await log(one, B)) == (["hit a1"], [])
        await empty(one)
        await quiet(one)
        assert await far(one) == 1
        assert (await log(one, A), await log(one, B)) == (["hit a1", "hit a2"], ["ball a2"])
        assert await one.dead() == []

    on(kind, tmp_path, story)


async def until_log(one: World, who: Address, wanted: list[str]) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + 15
    while (found := await log(one, who)) != wanted:
        assert loop.time() < end, (found, wanted)
        await asyncio.sleep(0.02)
