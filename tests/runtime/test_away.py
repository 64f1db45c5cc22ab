"""What the server does to us while it is away, and when it is back: nothing late, nothing twice, nobody deaf."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from actors.runtime.nats.ask import ask, serve
from actors.runtime.nats.layout import MAIL, PROC, consumer, furnish, hire
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.log import follow
from actors.runtime.nats.pump import PATIENCE, Item, Pump, read, tend
from protocol.address import Address
from protocol.errors import Refused, Unreachable
from protocol.node import ListCustody, Refusal
from tests.server import Server, until


def story(tmp_path, tell):
    async def run():
        with Server(tmp_path) as server:
            link = await connect(Login(server.url, "test"))
            await furnish(link)
            await tell(server, link)
            await link.close()

    asyncio.run(run())


@asynccontextmanager
async def pumping(link: Link, name: str):
    pump = Pump(link, MAIL, name, lambda item: None)
    await pump.open()
    reading = asyncio.create_task(tend(link, lambda: (pump,)))
    try:
        yield pump
    finally:
        reading.cancel()
        await asyncio.wait([reading])
        await pump.close()


async def kill(server: Server, link: Link) -> None:
    server.kill()
    await until(lambda: not link.client.is_connected)


async def revive(server: Server, link: Link) -> None:
    server.start()
    await until(lambda: link.client.is_connected)


def test_what_was_given_up_while_the_server_was_away_is_not_stored_when_it_is_back(tmp_path):
    async def tell(server, link):
        await kill(server, link)
        with pytest.raises(Unreachable, match="is away"):
            await link._request("car.proc.x.out", b"late", None, 0.2)
        await revive(server, link)
        await link.client.flush()
        assert await link.newest(PROC, "car.proc.>") == 0

    story(tmp_path, tell)


def test_what_is_wanted_while_the_server_is_away_for_a_moment_is_done_when_it_is_back(tmp_path):
    async def tell(server, link):
        await kill(server, link)
        storing = asyncio.create_task(link.store("car.proc.x.out", b"line", {}))
        await revive(server, link)
        assert (await storing).seq == 1

    story(tmp_path, tell)


def test_what_is_too_large_is_refused_and_costs_nobody_the_connection(tmp_path):
    async def tell(_, link):
        for size in (link.client.max_payload - 10, link.client.max_payload + 1):
            with pytest.raises(Refused, match="more than the NATS server takes"):
                await link.store("car.proc.x.out", b"x" * size, {"Car-Part": "1/1"})
        assert (await link.store("car.proc.x.out", b"x", {})).seq == 1

    story(tmp_path, tell)


def test_who_is_shut_out_for_good_gets_to_know_it(tmp_path):
    async def tell(_, link):
        watching = asyncio.create_task(link.watch())
        await link.client.publish("car.proc.x.out", b"x" * link.client.max_payload, headers={"Car-Part": "1/1"})
        with pytest.raises(Unreachable, match="closed the connection"):
            await asyncio.wait_for(watching, 5)

    story(tmp_path, tell)


def test_a_reader_reads_on_after_the_server_was_away_and_leaves_nothing_behind(tmp_path):
    async def tell(server, link):
        got = []

        async def read():
            async for entry in follow(link, PROC, "car.proc.x.*"):
                got.append(entry.data)  # noqa: PERF401  # it has no end

        before = len(link.client._subs)
        reading = asyncio.create_task(read())
        await link.store("car.proc.x.out", b"1", {})
        await until(lambda: got == [b"1"])
        await kill(server, link)
        await asyncio.sleep(1.5)  # it looks for more in vain meanwhile
        await revive(server, link)
        await link.store("car.proc.x.out", b"2", {})
        await until(lambda: got == [b"1", b"2"])
        reading.cancel()
        await asyncio.wait([reading])
        await until(lambda: len(link.client._subs) <= before + 1)  # the answers to all requests come over one more

    story(tmp_path, tell)


def test_an_idle_reader_leaves_the_disk_alone_and_takes_what_comes(tmp_path):
    async def tell(_, link):
        await hire(link, MAIL, consumer("one", "car.*.*.*.*"))
        async with pumping(link, "one") as pump:
            await asyncio.sleep(2 * PATIENCE)
            assert pump.resets == 1
            await link.store("car.mail.account.a", b"1", {})
            await until(lambda: pump.expected == 2)

    story(tmp_path, tell)


def test_a_reader_without_a_consumer_asks_now_and_then_and_not_all_the_time(tmp_path):
    async def tell(_, link):
        await hire(link, MAIL, consumer("one", "car.*.*.*.*"))
        async with pumping(link, "one") as pump:
            await link.store("car.mail.account.a", b"1", {})
            await until(lambda: pump.expected == 2)
            await link.api(f"CONSUMER.DELETE.{MAIL}.one")
            before = link.client.stats["out_msgs"]
            await asyncio.sleep(1)
            assert 0 < link.client.stats["out_msgs"] - before < 12

    story(tmp_path, tell)


def test_a_reader_asks_for_nothing_while_the_server_is_away(tmp_path):
    async def tell(server, link):
        taken: list[Item] = []
        reading = asyncio.create_task(read(link, MAIL, consumer("one", "car.*.*.*.*"), taken.append))
        await link.store("car.mail.account.a", b"1", {})
        await until(lambda: len(taken) == 1)
        await kill(server, link)
        before = link.client.stats["out_msgs"]
        await asyncio.sleep(1.5)
        assert link.client.stats["out_msgs"] == before
        await revive(server, link)
        await link.store("car.mail.account.a", b"2", {})
        await until(lambda: [item.msg.data for item in taken[1:]] == [b"1", b"2"])
        reading.cancel()
        await asyncio.wait([reading])

    story(tmp_path, tell)


def test_a_bug_in_an_answer_is_told_and_not_taken_for_an_empty_house(tmp_path):
    async def tell(_, link):
        async def answer(*_):
            raise ZeroDivisionError("boom")

        serving = asyncio.create_task(serve(link, "car.ask.account.*", answer))
        await asyncio.sleep(0.1)
        said = await ask(link, Address("door", "test"), Address("account", "a"), ListCustody(), patience=3)
        assert isinstance(said, Refusal)
        assert said.text == "account/a could not answer: ZeroDivisionError: boom"
        serving.cancel()
        await asyncio.wait([serving])

    story(tmp_path, tell)


def test_a_reader_that_is_told_to_end_as_a_line_comes_ends(tmp_path):
    async def tell(_, link):
        for number in range(30):
            subject = f"car.proc.x{number}.out"

            async def listen(subject=subject):
                async for _ in follow(link, PROC, subject):
                    pass

            listening = asyncio.create_task(listen())

            async def end(_, ticks=number % 6, listening=listening):
                for _tick in range(ticks):
                    await asyncio.sleep(0)
                listening.cancel()

            await asyncio.sleep(0.01)
            ending = await link.client.subscribe(subject, cb=end)
            await link.store(subject, b"line", {})
            done, _ = await asyncio.wait([listening], timeout=1)
            assert done, f"told to end {number % 6} ticks after a line, it reads on"
            await ending.unsubscribe()

    story(tmp_path, tell)
