"""The disk, as it is in bad times: streams at their bounds, a full disk under load, a server killed in the midst."""

import asyncio
import itertools
from contextlib import asynccontextmanager

import pytest

from actors.custody.room import Room
from actors.runtime.nats.layout import EVENT, MAIL, PROC, SHARES, STATE
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.log import read_all
from actors.runtime.nats.ports import open_ports
from actors.runtime.place import free
from protocol.errors import Full, Unreachable
from tests.disk import fill, small_disk
from tests.live.checkout import checkout, demo, subjects
from tests.live.scene import Log, begin, ended, look
from tests.live.shell import car
from tests.runtime.cast import Add
from tests.runtime.world import NatsWorld
from tests.server import Server, until
from tests.world import hub_at_work

ROOM = 64_000_000
"""Bytes that a bounded server has for everything."""
PIECE = b"x" * 500_000
ACCOUNTS = tuple("abcdefgh")


class Bounded(Server):
    """A server whose account has so much room and no more, as the embedded one's has."""

    def __init__(self, folder) -> None:
        super().__init__(folder)
        account = f"CAR {{ jetstream: {{ max_file: {ROOM} }}, users: [{{ user: u, password: p }}] }}"
        with (folder / "server.conf").open("a") as conf:
            conf.write(f"accounts {{ {account} }}\nno_auth_user: u\n")


@asynccontextmanager
async def at_work(server):
    """Have a host at work on a server."""
    with server:
        link = await connect(Login(server.url, "test"))
        world = NatsWorld(link, await open_ports(link))
        world.start()
        try:
            yield world
        finally:
            await world.stop()
            await link.close()


async def bound(link, stream):
    """Return how many bytes a stream may have, and how many it has."""
    found = await link.api(f"STREAM.INFO.{stream}")
    return found.number("config", "max_bytes"), found.number("state", "bytes")


async def pour(link, subject, count):
    """Store pieces until the stream refuses one; return how many bytes it took."""
    for number in range(count):
        try:
            await link.store(subject, PIECE, {})
        except Full:
            return number * len(PIECE)
    return count * len(PIECE)


@pytest.mark.parametrize("stream", [PROC, EVENT])
def test_a_stream_at_its_bound_starves_no_other(tmp_path, stream):
    subjects = {PROC: "car.proc.p1.out", EVENT: "car.event.account.z.Added"}

    async def run():
        async with at_work(Bounded(tmp_path)) as world:
            may, _ = await bound(world.link, stream)
            assert may < ROOM * SHARES[stream] / sum(SHARES.values())
            stored = await pour(world.link, subjects[stream], 2 * may // len(PIECE))
            # What may not be dropped is refused; of the rest the old is dropped.
            assert (stored < may) == (stream == PROC)
            has = (await bound(world.link, stream))[1]
            assert may - 2 * len(PIECE) < has <= may
            before = {name: (await bound(world.link, name))[1] for name in (MAIL, STATE)}
            for n in range(200):
                await world.say("a", Add(n=n))
            await world.settled("a", tuple(range(200)))
            assert (await bound(world.link, STATE))[1] > before[STATE]
            assert (await bound(world.link, stream))[1] <= may

    asyncio.run(run())


class Load:
    """People who say numbers to accounts, each once, and know which of them were accepted."""

    def __init__(self, world) -> None:
        self.world = world
        self.accepted = {name: [] for name in ACCOUNTS}
        self.unknown = 0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for name in ACCOUNTS:
                group.create_task(self._speak(name))

    async def _speak(self, name) -> None:
        for n in itertools.count():
            try:
                await self.world.say(name, Add(n=n), f"{name}{n}")
            except Unreachable:
                self.unknown += 1
                await asyncio.sleep(0.05)
            else:
                self.accepted[name].append(n)
            if n % 10 == 0:
                await asyncio.sleep(0.02)  # a mailbox is not to be full

    @property
    def count(self) -> int:
        return sum(map(len, self.accepted.values()))

    async def grows(self, more, seconds=60) -> None:
        goal = self.count + more
        await until(lambda: self.count >= goal, seconds)

    async def holds(self) -> None:
        """Check that all that was accepted took effect once and in order; of the rest nobody knows."""
        loop = asyncio.get_running_loop()
        end = loop.time() + 60
        while await self.world.waiting():
            assert loop.time() < end, await self.world.waiting()
            await asyncio.sleep(0.05)
        for name, accepted in self.accepted.items():
            numbers = await self.world.numbers(name)
            assert sorted(set(numbers)) == list(numbers)
            assert set(accepted) <= set(numbers)


async def renew(server, link) -> None:
    server.kill()
    await until(lambda: not link.client.is_connected)
    server.start()
    await link.here(20)


def test_a_server_killed_under_load_has_all_that_it_acknowledged(tmp_path):
    async def run():
        server = Server(tmp_path)
        async with at_work(server) as world:
            load = Load(world)
            speaking = asyncio.create_task(load.run())
            for _ in range(3):
                await load.grows(300)
                await renew(server, world.link)
            await load.grows(100)
            speaking.cancel()
            await asyncio.wait([speaking])
            await load.holds()
            kept = await read_all(world.link, EVENT, "car.event.account.*.Added")
            assert len(kept) >= load.count

    asyncio.run(run())


def test_a_disk_that_is_full_under_load_loses_nothing_that_was_accepted(tmp_path):
    async def run():
        with small_disk(tmp_path / "disk", "80M") as disk:
            (disk / "store").mkdir()
            server = Bounded(disk / "store")
            room = Room(disk / "store", disk / "store" / "server.log")
            async with at_work(server) as world:
                load = Load(world)
                speaking = asyncio.create_task(load.run())
                await load.grows(500)
                fill(disk / "filler")
                assert not room.came_back()
                await until(lambda: load.unknown >= 2 * len(ACCOUNTS), 60)
                (disk / "filler").unlink()
                assert room.came_back()
                await renew(server, world.link)  # as the keeper does
                await load.grows(300)
                speaking.cancel()
                await asyncio.wait([speaking])
                await load.holds()

    asyncio.run(run())


def test_below_the_reserve_nothing_new_is_begun_and_what_runs_comes_to_its_end(tmp_path):
    stream = demo("- stream: {count: 150, pace: 0.03}", "- write: {path: a.txt, text: a}")

    async def run():
        shop, other = checkout(tmp_path / "shop", stream), checkout(tmp_path / "other", stream)
        with small_disk(tmp_path / "disk", "96M") as disk:
            async with hub_at_work(disk) as (hub, door), Log(hub) as log:
                running = await begin(hub, door, shop)
                await log.reaches(30)
                (disk / "filler").write_bytes(b"x" * (free(disk) - 6_000_000))
                refused = await ended(door, await begin(hub, door, other))
                assert refused.status == "paused"
                assert refused.reason.startswith(f"the disk of {hub.nats} has ")
                assert refused.reason.endswith(" MB left, and nothing new is begun below 10 MB; make room there")
                assert (await look(door, running)).status == "running"
                assert (await ended(door, running)).status == "completed"
                said = await car(hub, "flow", "status", "--repo", "other", at=other)
                assert refused.reason in said.out
                (disk / "filler").unlink()
                assert (await car(hub, "flow", "resume", "--repo", "other", at=other)).code == 0
                assert subjects(other) == subjects(shop) == ["first", "Ticket 1"]

    asyncio.run(run())
