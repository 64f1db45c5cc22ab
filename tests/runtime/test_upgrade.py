"""Hosts of two versions side by side: nothing is lost, nothing is doubled, and nobody reads what only others can."""

import asyncio
import sys

from actors.runtime.nats.ports import shard_of
from protocol.address import Address
from tests.runtime.fleet import Fleet, fleet
from tests.runtime.purse import ONE, Grew, Put
from tests.runtime.wallet import TWO, Note
from tests.server import until

OLD, NEW = ({"purse": ONE}, "1.0"), ({"purse": TWO}, "1.1")
MANY = tuple(Address("purse", f"p{number}") for number in range(24))


def story(tmp_path, tell):
    async def run():
        async with fleet(tmp_path) as one:
            await tell(one)

    asyncio.run(run())


async def states(one: Fleet, many=MANY) -> list[tuple[int, dict]]:
    found = [await one.stored(me) for me in many]
    return [(record["version"], record["state"]) for record in found]


async def say_all(one: Fleet, *messages, many=MANY) -> None:
    for message in messages:
        await asyncio.gather(*(one.say(me, message) for me in many))


def test_while_an_old_host_lives_all_records_are_written_so_that_it_can_read_them(tmp_path):
    async def tell(one):
        old, new = await one.host(*OLD), await one.host(*NEW)
        await one.settled(old, new)
        assert any(map(old.reads, MANY))
        assert any(map(new.reads, MANY))
        await say_all(one, Put(coins=1), Put(coins=2))
        await one.quiet()
        assert await states(one) == [(1, {"coins": [1, 2]})] * len(MANY)
        await old.leave()
        await one.settled(new)
        await say_all(one, Put(coins=3))
        await one.quiet()
        assert await states(one) == [(2, {"cents": [100, 200, 300], "note": ""})] * len(MANY)
        third = await one.host(*OLD)
        await one.settled(new, third)
        await say_all(one, Put(coins=4))
        await one.quiet()
        # Some were read by nobody but the newer: the old one left their shards to it.
        assert [state for _, state in await states(one)] == [{"coins": [1, 2, 3, 4]}] * len(MANY)
        assert await one.dead() == []

    story(tmp_path, tell)


def test_a_record_that_only_a_newer_host_can_read_is_left_to_it(tmp_path):
    async def tell(one):
        new = await one.host(*NEW)
        await say_all(one, Put(coins=1), Note(text="mine"))
        await one.quiet()
        old = await one.host(*OLD)
        await one.settled(old, new)
        theirs = [me for me in MANY if old.reads(me)]
        assert theirs
        await say_all(one, Put(coins=2), Put(coins=3))
        await one.quiet()
        assert await states(one) == [(2, {"cents": [100, 200, 300], "note": "mine"})] * len(MANY)
        assert set(old.house.roster.me.declines) == {shard_of(me) for me in theirs}
        assert all(map(new.reads, MANY))
        assert await one.dead() == []

    story(tmp_path, tell)


def test_a_message_that_only_a_newer_host_knows_is_put_aside_by_nobody_while_that_one_lives(tmp_path):
    async def tell(one):
        new = await one.host(*NEW)
        await one.settled(new)
        elsewhere = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.runtime.old", one.server.url, stdout=asyncio.subprocess.PIPE
        )
        try:
            await elsewhere.stdout.readline()
            await one.settled(new, others=1)
            await until(lambda: not all(map(new.reads, MANY)))
            await say_all(one, Put(coins=1), Note(text="mine"), Put(coins=2))
            await one.quiet()
            assert await states(one) == [(2, {"cents": [100, 200], "note": "mine"})] * len(MANY)
            assert await one.dead() == []
            await new.leave()
            await alone(one)
        finally:
            elsewhere.kill()
            await elsewhere.wait()

    async def alone(one):
        """When the newer has gone, the old one puts aside what it does not know, and never what it cannot read."""
        fresh = Address("purse", "fresh")
        await one.say(fresh, Note(text="mine"))
        await one.say(fresh, Put(coins=7))
        await one.say(MANY[0], Put(coins=3))
        await until_dead(one, 1)
        assert await one.dead() == [("purse/fresh", "no message is called 'wallet.Note'")]
        while (await one.stored(fresh)).get("state") != {"coins": [7]}:
            await asyncio.sleep(0.02)
        new = await one.host(*NEW)
        await one.quiet()
        assert (await one.stored(MANY[0]))["state"] == {"cents": [100, 200, 300], "note": "mine"}
        assert len(await one.dead()) == 1
        await new.leave()

    story(tmp_path, tell)


async def until_dead(one: Fleet, count: int) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + 15
    while len(await one.dead()) < count:
        assert loop.time() < end
        await asyncio.sleep(0.05)


def test_an_upgrade_of_host_after_host_under_load_loses_nothing_and_doubles_nothing(tmp_path):
    here = [Address("purse", f"p{number}") for number in range(8)]
    there = [Address("purse", f"q{number}") for number in range(8)]

    async def tell(one):
        over = asyncio.Event()
        said = 0

        async def load() -> None:
            nonlocal said
            while not over.is_set():
                said += 1
                pairs = zip(here, there, strict=True)
                await asyncio.gather(*(one.say(me, Put(coins=said, then=other)) for me, other in pairs))

        async def more() -> None:
            enough = said + 15
            await until(lambda: said > enough or loading.done())

        hosts = [await one.host(*OLD), await one.host(*OLD)]
        await one.settled(*hosts)
        loading = asyncio.create_task(load())
        for _ in range(2):
            await more()
            hosts.append(await one.host(*NEW))
            await one.settled(*hosts)
            await more()
            await hosts.pop(0).leave()
            await one.settled(*hosts)
        await more()
        over.set()
        await loading
        await one.quiet()
        coins = range(1, said + 1)
        for me in (*here, *there):
            assert (await one.stored(me))["state"]["cents"] == [100 * n for n in coins]
            assert await one.told(me) == [Grew(coins=n) for n in coins]
        assert await one.dead() == []

    story(tmp_path, tell)
