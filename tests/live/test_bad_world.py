"""What the machine does to CAR: the disk, the server, the host and the terminal go away, and the work is not lost."""

import asyncio
import contextlib
import json
import os
import signal
import socket

import pytest

from actors.runtime import launch, process
from actors.runtime.place import find_hub, init_hub
from protocol.address import Address
from tests.disk import fill, small_disk
from tests.live.checkout import checkout, demo, git, subjects
from tests.live.scene import Log, begin, ended, look, session_of, texts
from tests.live.shell import (
    BUTTONS,
    DONE,
    FAILED,
    UNREACHABLE,
    Said,
    at_desk,
    begin_car,
    car,
    concerned,
    nothing_runs,
)
from tests.server import free_port, until
from tests.world import hub_at_work, kill, record

COUNT = 250
STREAM = demo(f"- stream: {{count: {COUNT}, pace: 0.03}}", "- write: {path: a.txt, text: a}")
NOBODY = Said(UNREACHABLE, "", "car: no host of CAR is alive here, type: car up")
AWAY = 5.0
"""Seconds."""


async def whole(door, log, run, shop) -> None:
    """Check that a run went on as if nothing had happened."""
    assert (await ended(door, run)).status == "completed"
    assert log.faults == []
    assert len(log.out) == 1
    assert log.prompts() == 1
    assert await texts(door) == [" ".join(map(str, range(1, COUNT + 1)))]
    assert subjects(shop) == ["first", "Ticket 1"]
    assert git(shop, "show", "HEAD:a.txt") == "a"


def test_a_full_disk_is_named_and_when_it_has_room_everything_goes_on_by_itself(tmp_path):
    async def run():
        shop = checkout(tmp_path / "shop", STREAM)
        with small_disk(tmp_path / "disk", "96M") as disk:
            async with hub_at_work(disk) as (hub, door), Log(hub) as log:
                address = await begin(hub, door, shop)
                await log.reaches(60)
                fill(disk / "filler")
                why = f"car: the disk of {hub.root} is full: make room there, and everything goes on by itself"
                commands = (("flow", "status"), ("say", "/flow status"), ("flow", "start"), ("repo", "list"))
                full = asyncio.get_running_loop().time()
                said = await asyncio.gather(*(car(hub, *words, at=shop) for words in commands))
                assert said == [Said(UNREACHABLE, "", why)] * len(commands)
                await asyncio.sleep(AWAY - asyncio.get_running_loop().time() + full)
                assert log.count() < COUNT
                (disk / "filler").unlink()
                await whole(door, log, address, shop)
                said = await car(hub, "flow", "status", at=shop)
                assert (said.code, said.out.split("\n")[0]) == (DONE, "shop · completed, 1 of 1 ticket done")

    asyncio.run(run())


@contextlib.asynccontextmanager
async def frozen(hub):
    """Have a server that does not answer."""
    server = record(hub, "server").who
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def away(hub):
    """Have no server, and none that could come back: somebody else holds its port."""
    port = int((hub.run / "nats.url").read_text().rpartition(":")[2])
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kill(record(hub, "server").who)
        await until(lambda: not holder_fails(holder, port), 5)
        yield


def holder_fails(holder: socket.socket, port: int) -> bool:
    try:
        holder.bind(("127.0.0.1", port))
        holder.listen()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("gone", [frozen, away])
def test_a_server_that_is_away_for_five_seconds_of_a_turn_is_waited_for(tmp_path, gone):
    async def tell(desk):
        async with Log(desk.hub) as log:
            run = await begin_run(desk)
            await log.reaches(60)
            async with gone(desk.hub):
                since = asyncio.get_running_loop().time()
                said = await desk.car("flow", "status")
                url = (desk.hub.run / "nats.url").read_text().strip()
                silent = f"car: the NATS server at {url} does not answer: it says nothing; type: car up"
                assert said == (Said(UNREACHABLE, "", silent) if gone is frozen else NOBODY)
                await asyncio.sleep(AWAY - asyncio.get_running_loop().time() + since)
                assert log.count() < COUNT
            await whole(desk.door, log, run, desk.shop)

    at_desk(tmp_path, tell, STREAM)


async def begin_run(desk) -> Address:
    said = await desk.car("flow", "start", "--no-follow", "--json")
    return Address("run", json.loads(said.out)["repo"]["run"])


def test_without_a_host_no_command_tells_old_news_and_up_lets_the_run_go_on(tmp_path):
    commands = (("flow", "status"), ("say", "/flow status"), ("repo", "list"), ("repo", "add"), ("flow", "start"))

    async def tell(desk):
        async with Log(desk.hub) as log:
            run = await begin_run(desk)
            before = await session_of(desk.door, run)
            await log.reaches(30)
            kill(record(desk.hub, "keeper").who)
            kill(record(desk.hub, "host").who)
            said = await asyncio.gather(*(desk.car(*words) for words in commands))
            assert said == [NOBODY] * len(commands)
            status = await desk.car("status", "--json")
            assert (status.code, status.err) == (UNREACHABLE, NOBODY.err)
            seen = json.loads(status.out)
            assert (seen["alive"], seen["repos"]) == (False, [])
            lives = {one["name"]: one["alive"] for one in seen["processes"]}
            assert lives == {"custodian": True, "host": False, "keeper": False, "server": True}
            assert process.alive(process.Identity(before.pid, before.born))
            assert (await desk.car("up")).code == DONE
            await whole(desk.door, log, run, desk.shop)

    at_desk(tmp_path, tell, STREAM)


def test_down_in_the_middle_of_a_turn_pauses_the_run_and_resume_completes_it(tmp_path):
    async def tell(desk):
        async with Log(desk.hub) as log:
            run = await begin_run(desk)
            await log.reaches(30)
            down = await desk.car("down")
            assert down == Said(DONE, "✓ paused: shop\n✓ ended: host, custodian, server, keeper")
            await nothing_runs(desk.hub, 0.1)
            assert await desk.car("flow", "status") == NOBODY
            assert (await desk.car("up")).code == DONE
            card = f"shop · ticket 1/1 · turn 1 · paused\n→ Ticket 1\nstopped by car down\n{BUTTONS}"
            assert await desk.say("/flow status") == Said(FAILED, card)
            assert (await look(desk.door, run)).reason == "stopped by car down"
            resumed = await desk.car("flow", "resume")
            assert (resumed.code, resumed.err) == (DONE, "")
            assert log.faults == []
            assert (await texts(desk.door))[-1] == " ".join(map(str, range(1, COUNT + 1)))
            assert subjects(desk.shop) == ["first", "Ticket 1"]

    at_desk(tmp_path, tell, STREAM)


def test_a_server_that_cannot_start_is_named_with_its_log(tmp_path):
    async def run():
        hub = init_hub(tmp_path / "hub")
        try:
            (hub.nats / "store").write_text("no folder")
            why = (
                "car: the server does not start: Can't start JetStream: storage directory is not a directory; mend "
                f"that and it starts by itself, or type: car down (log: {hub.log}/server.log)"
            )
            assert await car(hub, "up", at=tmp_path) == Said(UNREACHABLE, "", why)
            assert await car(hub, "flow", "status", at=tmp_path) == NOBODY
            assert (hub.nats / "store").read_text() == "no folder"
            since = asyncio.get_running_loop().time()
            down = await car(hub, "down", at=tmp_path)
            assert asyncio.get_running_loop().time() - since < 8
            assert down._replace(out=down.out.replace(", server", "")) == Said(DONE, "✓ ended: host, custodian, keeper")
            await nothing_runs(hub, 0.1)
            (hub.nats / "store").unlink()
            assert (await car(hub, "up", at=tmp_path)).code == DONE
            assert (await car(hub, "repo", "list", at=tmp_path)).code == DONE
        finally:
            await asyncio.to_thread(launch.stop, hub)
        await nothing_runs(hub)

    asyncio.run(run())


def test_a_server_of_others_that_is_away_is_named_and_nothing_is_started(tmp_path):
    async def run():
        hub = init_hub(tmp_path / "hub")
        url = f"nats://127.0.0.1:{free_port()}"
        said = await car(hub, "up", at=tmp_path, env={"CAR_NATS_URL": url})
        assert said == Said(
            UNREACHABLE,
            "",
            f"car: the NATS server at {url} does not answer: Connection refused; start that server, or mend nats.url "
            "in the settings",
        )
        assert launch.states(hub) == ()

    asyncio.run(run())


def test_the_demo_tells_what_it_did_and_leaves_nothing(tmp_path):
    async def run():
        said = await car(None, "demo", "--json", "--pace", "0", at=tmp_path, env={"TMPDIR": str(tmp_path)})
        assert said.code == DONE, said
        told = json.loads(said.out.split("\n")[-1])
        assert (told["tickets_done"], len(told["commits"]), told["turns"], told["tests"]) == (3, 3, 3, "ok")
        assert 0 < told["car_seconds"] <= told["seconds"] < 60
        assert (concerned(tmp_path), list(tmp_path.iterdir())) == ([], [])

    asyncio.run(run())


@pytest.mark.parametrize("moment", ["car-keeper", "nats-server", "car-demo-agent"])
def test_a_killed_demo_takes_everything_along_that_it_has_started(tmp_path, moment):
    async def run():
        demo_ = await begin_car(None, "demo", at=tmp_path, env={"TMPDIR": str(tmp_path)})
        try:
            await until(lambda: any(moment in command for command in concerned(tmp_path)), 30)
        finally:
            demo_.kill()
        await demo_.communicate()
        await until(lambda: not concerned(tmp_path), 10)
        (scratch,) = tmp_path.iterdir()
        assert process.marked(f"{find_hub(scratch).token}.") == {}

    asyncio.run(run())
