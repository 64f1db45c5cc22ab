"""The plug is pulled in the middle of a turn: the agent goes on, and nothing is lost or said twice."""

import asyncio
import random

import psutil

from actors.runtime import launch, process
from tests.live.checkout import checkout, demo, git, subjects
from tests.live.scene import Log, begin, ended, session_of, texts
from tests.server import until
from tests.world import hub_at_work, kill, ready, record

COUNT = 500
PACE = 0.05
STORY = demo(f"- stream: {{count: {COUNT}, pace: {PACE}}}", "- write: {path: out.txt, text: written}")


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split()]


async def died(who: process.Identity) -> None:
    await until(lambda: not process.alive(who), 5)


def story(tmp_path, tell, body=STORY, settings=""):
    async def run():
        path = checkout(tmp_path / "shop", body)
        async with hub_at_work(tmp_path, settings) as (hub, door), Log(hub) as log:
            address = await begin(hub, door, path)
            before = await session_of(door, address)
            await tell(hub, door, log, address, before, path)

    asyncio.run(run())


async def whole(door, log, address, before, path) -> None:
    """Check that it all went on as if nothing had happened."""
    assert (await ended(door, address)).status == "completed"
    assert log.faults == []
    assert list(log.out) == [before.proc]
    assert log.prompts() == 1
    (text,) = await texts(door)
    assert numbers(text) == list(range(1, COUNT + 1))
    assert subjects(path) == ["first", "Ticket 1"]
    assert git(path, "show", "HEAD:out.txt") == "written"


def test_a_host_killed_at_ten_moments_of_a_turn_loses_and_doubles_nothing(tmp_path):
    async def tell(hub, door, log, address, before, path):
        for line in sorted(random.Random(11).sample(range(20, COUNT - 20), 10)):
            await log.reaches(line)
            host = record(hub, "host").who
            kill(host)
            await died(host)
            launch.renew_host(hub)
            await ready(door)
            now = await session_of(door, address)
            assert (now.proc, now.pid, now.born) == (before.proc, before.pid, before.born)
            assert process.alive(process.Identity(before.pid, before.born))
        await whole(door, log, address, before, path)

    story(tmp_path, tell)


def test_a_killed_keeper_kills_nobody_and_its_successor_goes_on(tmp_path):
    async def tell(hub, door, log, address, before, path):
        names = ("server", "custodian", "host")
        lives = {name: record(hub, name).who for name in names}
        for line in (60, 200):
            await log.reaches(line)
            keeper = record(hub, "keeper").who
            kill(keeper)
            await died(keeper)
            await asyncio.to_thread(launch.up, hub, (), process.myself())
            assert record(hub, "keeper").who != keeper
        assert {name: record(hub, name).who for name in names} == lives
        assert all(map(process.alive, lives.values()))
        await whole(door, log, address, before, path)

    story(tmp_path, tell)


def test_a_killed_server_comes_back_and_nothing_is_lost(tmp_path):
    async def tell(hub, door, log, address, before, path):
        for line in (60, 200, 350):
            await log.reaches(line)
            server = record(hub, "server").who
            kill(server)
            await died(server)
        await whole(door, log, address, before, path)
        assert process.alive(record(hub, "custodian").who)

    story(tmp_path, tell)


def test_a_killed_custodian_takes_its_agents_along_and_the_run_goes_on_with_a_new_one(tmp_path):
    body = demo(
        "- spawn: setsid sleep 4242",
        "- spawn: env -i setsid setsid sleep 4243",
        f"- stream: {{count: {COUNT}, pace: 0.01}}",
        "- write: {path: out.txt, text: written}",
    )

    async def tell(hub, door, log, address, before, path):
        await log.reaches(60)
        sleeping = (one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[:1] == ["sleep"])
        strays = [one.pid for one in sleeping if one.info["cmdline"][1] in ("4242", "4243")]
        assert len(strays) == 2
        custodian = record(hub, "custodian").who
        kill(custodian)
        await died(custodian)
        await until(lambda: not process.alive(process.Identity(before.pid, before.born)), 5)
        view = await ended(door, address)
        assert view.status == "completed", view
        assert log.faults == []
        assert len(log.out) == 2
        assert record(hub, "custodian").who != custodian
        assert (await texts(door))[-1].split()[-1] == str(COUNT)
        await until(lambda: not any(map(alive, strays)), 5)
        await until(lambda: not process.marked(f"{hub.token}."), 10)

    story(tmp_path, tell, body)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
