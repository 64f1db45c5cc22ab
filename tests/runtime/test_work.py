"""Commands to workers: each is answered once, whatever the wire, the worker or the command itself is like."""

import asyncio
from datetime import UTC, datetime

from actors.runtime.nats.layout import WORK
from actors.runtime.nats.pump import Item
from actors.runtime.nats.work import Bench, _Shop, serve
from actors.runtime.worker import Worker, does
from protocol.address import Address, worker
from protocol.envelope import Envelope, Letter, letter
from protocol.errors import Unreachable
from protocol.work import Failed, FileText, ReadFile
from tests.runtime.world import NatsWorld, until, world

ASKER = Address("account", "a")
HANDS = worker("n", "hands", "k")


class Hands:
    """A worker that reads no files: what it does is up to the test."""

    def __init__(self, *texts) -> None:
        self.texts = list(texts)
        self.done: list[str] = []

    async def read(self, command: ReadFile) -> FileText:
        self.done.append(command.path)
        text = self.texts.pop(0) if self.texts else ""
        if isinstance(text, Exception):
            raise text
        return FileText(text=text)


async def ask(one: NatsWorld, path: str) -> None:
    wish = letter(ReadFile(checkout="/", path=path), path)
    await one.ports.post.send(HANDS, Envelope(ASKER, (wish,)))


def working(one: NatsWorld, hands: Hands) -> asyncio.Task[None]:
    return asyncio.create_task(
        serve((Bench(one.link, one.ports.post, "n", Worker("hands", dict((does(ReadFile, hands.read),)))),))
    )


async def answers(one: NatsWorld, count: int) -> list[Letter]:
    """Return what lies in the mailbox of who asked, once so much is there."""
    got = []
    reading = asyncio.create_task(one.ports.intake.run(lambda delivery: got.append(delivery.mail), lambda _: None))
    await until(lambda: len(got) >= count, 20)
    reading.cancel()
    await asyncio.wait([reading])
    return [one for mail in got for one in mail.envelope.letters]


def story(tmp_path, hands, tell):
    async def run():
        async with world("nats", tmp_path) as one:
            serving = working(one, hands)
            await tell(one)
            serving.cancel()
            await asyncio.wait([serving])

    asyncio.run(run())


def test_a_wire_that_is_away_is_no_failure_of_a_command(tmp_path):
    hands = Hands(Unreachable("away"), Unreachable("away"), "at last")

    async def tell(one):
        await ask(one, "a")
        (said,) = await answers(one, 1)
        assert (said.re, said.open()) == ("a", FileText(text="at last"))

    story(tmp_path, hands, tell)


def test_an_answer_that_is_too_large_is_a_failure_and_the_next_command_is_done(tmp_path):
    hands = Hands("x" * 9_000_000, "small")

    async def tell(one):
        await ask(one, "a")
        await ask(one, "b")
        large, small = await answers(one, 2)
        assert isinstance(large.open(), Failed)
        assert "more than the NATS server takes" in large.open().what
        assert small.open() == FileText(text="small")

    story(tmp_path, hands, tell)


def test_a_command_that_nobody_can_read_is_put_aside_and_the_next_of_its_key_is_done(tmp_path):
    async def tell(one):
        deep = {"Car-Id": "1", "Car-Name": "work.ReadFile", "Car-Sender": str(ASKER)}
        await one.link.store("car.work.n.hands.k", b"[" * 200_000, deep)
        await ask(one, "b")
        (said,) = await answers(one, 1)
        assert said.re == "b"
        assert [to for to, _ in await one.dead()] == ["work/n-hands-k"]
        await until_empty(one)

    story(tmp_path, Hands(), tell)


async def until_empty(one: NatsWorld) -> None:
    while (await one.link.api(f"STREAM.INFO.{WORK}")).number("state", "messages"):
        await asyncio.sleep(0.02)


def test_a_command_that_is_delivered_again_while_it_is_in_hand_is_done_once_and_waits_once(tmp_path):
    async def run():
        async with world("nats", tmp_path) as one:
            gate, hands = asyncio.Event(), Hands()

            async def read(command: ReadFile) -> FileText:
                await gate.wait()
                return await hands.read(command)

            items: list[Item] = []
            bench = Bench(one.link, one.ports.post, "n", Worker("hands", dict((does(ReadFile, read),))))
            shop = _Shop(bench)

            async def note(msg) -> None:
                items.append(Item(msg, len(items) + 1, datetime.now(UTC)))

            await one.link.client.subscribe("car.work.>", cb=note)
            await ask(one, "a")
            await ask(one, "b")
            await until(lambda: len(items) == 2)
            for _ in range(50):
                for item in items:
                    shop.take(item)
                await asyncio.sleep(0)
            assert len(shop.queues["k"]) == 2
            gate.set()
            await until(lambda: not shop.queues)
            assert hands.done == ["a", "b"]

    asyncio.run(run())
