"""What comes again when the server knows its id no more has no second effect: in mail, timers, work, cards, events."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from actors.runtime.actor import Actor, Cause, Step
from actors.runtime.effects import After, Effect, Publish, Send
from actors.runtime.nats.layout import EVENT, MAIL, OUT, TIMER, WORK
from actors.runtime.nats.link import Link
from actors.runtime.nats.ports import shard_of
from actors.runtime.nats.work import Bench, serve
from actors.runtime.worker import Worker, does
from protocol.address import Address, worker
from protocol.chat import Card
from protocol.envelope import Envelope, letter, pack, unpack
from protocol.message import Command, Message
from protocol.node import Due
from protocol.work import FileText, ReadFile
from tests.runtime import cast
from tests.runtime.cast import Add, Added
from tests.runtime.deaf import deaf
from tests.runtime.fleet import DOOR, Fleet, Host, fleet
from tests.server import until

CLERK, OTHER, ACCOUNT = Address("clerk", "a"), Address("clerk", "b"), Address("account", "b")
HANDS, DESK = worker("n", "hands", "k"), Address("out", "cli.desk")
WINDOW = 0.2
"""Seconds for which the server knows an id here."""


class Order(Command):
    """Say one thing of each kind at once."""


class Ring(Command):
    """Ring soon."""


class Fetch(Command):
    """Have a worker read something."""


@dataclass(frozen=True, slots=True)
class Clerk:
    rings: int = 0
    texts: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


def _step(clerk: Clerk, message: Message, cause: Cause) -> Step[Clerk]:
    effects: tuple[Effect, ...] = ()
    match message:
        case Order():
            effects = (
                Send(OTHER, Add(n=7)),
                Send(DESK, Card(id="card", revision=3, text="Done.")),
                Publish(Added(n=1)),
                Publish(Added(n=2)),
                After(3600, Due(timer="late"), "late"),
            )
        case Fetch():
            effects = (Send(HANDS, ReadFile(checkout="/", path="x"), cause.derive("wish")), Publish(Added(n=3)))
        case Ring():
            effects = (After(0.05, Due(timer="soon"), "soon"),)
        case Add(n=n):
            return Step(replace(clerk, numbers=(*clerk.numbers, n)))
        case Due():
            return Step(replace(clerk, rings=clerk.rings + 1))
        case FileText(text=text):
            return Step(replace(clerk, texts=(*clerk.texts, text)))
    return Step(clerk, effects)


ACTOR = Actor("clerk", Clerk, lambda _: Clerk(), _step, lambda *_: cast.SumView(numbers=()))
CAST = ({"clerk": ACTOR, "account": cast.ACTOR}, "1.0")


def story(tmp_path, tell: Callable[[Fleet], Awaitable[None]]) -> None:
    async def run():
        async with fleet(tmp_path) as one:
            await tell(one)

    asyncio.run(run())


async def forget_soon(link: Link) -> None:
    """Let the server know ids for a moment only; it does not keep those of before."""
    for stream in (MAIL, EVENT, WORK, OUT):
        config = (await link.api(f"STREAM.INFO.{stream}")).section("config")
        await link.api(f"STREAM.UPDATE.{stream}", {**config, "duplicate_window": int(WINDOW * 1e9)})


async def deaf_host(one: Fleet, lost: asyncio.Event) -> Host:
    """Begin a host whose acknowledgements are lost while ``lost`` is set."""
    host = await one.host(*CAST, wrapped=lambda ports: deaf(ports, CLERK, lost))
    await one.settled(host)
    await forget_soon(one.link)
    return host


def again(host: Host) -> None:
    """Let the actors of a host go, and have it read once more what is not acknowledged."""
    host.supervisor.leave(lambda me: me == CLERK)
    host.house.usher._held[f"s{shard_of(CLERK)}"].begin()


async def count(link: Link, stream: str) -> int:
    """Return how many messages a stream has ever stored."""
    return (await link.api(f"STREAM.INFO.{stream}")).number("state", "last_seq")


async def overheard(link: Link, subject: str) -> list[Envelope]:
    """Return a list of all that is said on a subject from now on."""
    said: list[Envelope] = []

    async def hear(msg) -> None:
        said.append(unpack(msg.headers, msg.data))

    await link.client.subscribe(subject, cb=hear)
    await link.client.flush()
    return said


def test_what_an_actor_says_again_long_after_is_heard_seen_and_kept_once(tmp_path):
    async def tell(one):
        lost = asyncio.Event()
        lost.set()
        host = await deaf_host(one, lost)
        cards = await overheard(one.link, "car.out.>")
        await one.say(CLERK, Order())
        await until_told(one, 2)
        for passivated in range(50):
            if passivated % 10 == 0:
                await asyncio.sleep(1.5 * WINDOW)
            said = len(cards)
            again(host)
            await until(lambda said=said: len(cards) > said)
        lost.clear()
        again(host)
        await one.quiet()
        # The proof is one only where it was really said again, and the server has really stored it again.
        assert await count(one.link, OUT) >= 4
        assert await count(one.link, MAIL) >= 5
        shown = [letter.open() for card in cards for letter in card.letters]
        assert len(shown) >= 50
        assert {(card.id, card.revision) for card in shown} == {("card", 3)}
        assert (await one.stored(OTHER))["state"]["numbers"] == [7]
        assert await left(one.link, TIMER) == 1
        assert await one.told(CLERK) == [Added(n=1), Added(n=2)]
        assert await one.dead() == []

    story(tmp_path, tell)


def test_a_host_that_comes_after_the_window_says_again_and_doubles_nothing(tmp_path):
    async def tell(one):
        lost = asyncio.Event()
        lost.set()
        first = await deaf_host(one, lost)
        await one.say(CLERK, Fetch())  # nobody works yet, so this is the last that the clerk has heard
        await until_told(one, 1)
        await first.leave()
        await asyncio.sleep(2 * WINDOW)
        stored = await count(one.link, WORK)
        second = await one.host(*CAST)
        await one.settled(second)
        await until_count(one.link, WORK, stored + 1)
        done: list[str] = []
        working = asyncio.create_task(serve((bench(one, second, done),)))
        await until_texts(one, ["text 1"])
        await one.quiet()
        await until_empty(one.link, WORK)
        # One that comes while the answer is under way is harmless when it is done twice, and is answered once.
        assert (await one.stored(CLERK))["state"]["texts"] == ["text 1"]
        assert await one.told(CLERK) == [Added(n=3)]
        working.cancel()
        await asyncio.wait([working])

    story(tmp_path, tell)


def test_a_command_that_nobody_waits_for_any_more_is_not_done_again(tmp_path):
    async def tell(one):
        host = await one.host(*CAST)
        await one.settled(host)
        await forget_soon(one.link)
        said = await overheard(one.link, "car.work.>")
        done: list[str] = []
        working = asyncio.create_task(serve((bench(one, host, done),)))
        await one.say(CLERK, Fetch())
        await until_texts(one, ["text 1"])
        await asyncio.sleep(2 * WINDOW)
        (command,) = said
        stored = await count(one.link, WORK)
        await one.post.send(HANDS, command)  # a host that was frozen says it now
        assert await count(one.link, WORK) == stored + 1
        await until_empty(one.link, WORK)
        assert done == ["x"]
        answer = Envelope(HANDS, (letter(FileText(text="late"), f"{command.id}.r", command.id),))
        await one.post.send(CLERK, answer)
        await one.quiet()
        assert (await one.stored(CLERK))["state"]["texts"] == ["text 1"]
        working.cancel()
        await asyncio.wait([working])

    story(tmp_path, tell)


def test_a_timer_that_fires_again_long_after_rings_once(tmp_path):
    async def tell(one):
        host = await one.host(*CAST)
        await one.settled(host)
        await forget_soon(one.link)
        await one.say(CLERK, Ring())
        await until_rings(one, 1)
        await one.quiet()
        await asyncio.sleep(2 * WINDOW)
        stored = await count(one.link, MAIL)
        await one.link.store(CLERK.subject("fired"), b"", {"Car-Fire": "soon:1"})
        await until_count(one.link, MAIL, stored + 1)
        await one.quiet()
        await until_rings(one, 1)
        assert await one.dead() == []

    story(tmp_path, tell)


def test_the_words_of_a_person_that_come_again_late_count_once(tmp_path):
    async def tell(one):
        host = await one.host(*CAST)
        await one.settled(host)
        await forget_soon(one.link)
        headers, body = pack(Envelope(DOOR, (letter(Add(n=1), "one"),)))
        headers["Nats-Msg-Id"] = "one"
        for stored in (1, 2, 3):
            await one.link.store("car.mail.account.b", body, headers)
            assert await count(one.link, MAIL) == stored
            await one.quiet()
            host.supervisor.leave(lambda _: True)
            await asyncio.sleep(2 * WINDOW)
        assert (await one.stored(ACCOUNT))["state"]["numbers"] == [1]
        assert await one.told(ACCOUNT) == [Added(n=1)]

    story(tmp_path, tell)


def bench(one: Fleet, host: Host, done: list[str]) -> Bench:
    async def read(command: ReadFile) -> FileText:
        done.append(command.path)
        return FileText(text=f"text {len(done)}")

    return Bench(one.link, one.post, "n", Worker("hands", dict((does(ReadFile, read),))), host.house.ports.store)


async def until_told(one: Fleet, number: int) -> None:
    await _until(lambda: _told(one), number)


async def _told(one: Fleet) -> int:
    return len(await one.told(CLERK))


async def until_count(link: Link, stream: str, number: int) -> None:
    await _until(lambda: count(link, stream), number)


async def left(link: Link, stream: str) -> int:
    return (await link.api(f"STREAM.INFO.{stream}")).number("state", "messages")


async def until_empty(link: Link, stream: str) -> None:
    await _until(lambda: left(link, stream), 0)


async def until_rings(one: Fleet, number: int) -> None:
    async def found() -> int:
        return (await one.stored(CLERK)).get("state", {}).get("rings", 0)

    await _until(found, number)


async def until_texts(one: Fleet, texts: list[str]) -> None:
    async def found() -> list[str]:
        return (await one.stored(CLERK)).get("state", {}).get("texts", [])

    await _until(found, texts)


async def _until(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + 10
    while (found := await look()) != wanted:
        assert loop.time() < end, (found, wanted)
        await asyncio.sleep(0.02)
