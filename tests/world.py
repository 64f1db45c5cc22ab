"""A hub with its real processes, for the tests that pull the plug: server, custodian, host, kept by a keeper."""

import asyncio
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from actors.runtime import launch, process
from actors.runtime.nats.server import equip, settle
from actors.runtime.place import Hub, init_hub
from bridges.bridge import Door, open_door
from protocol.address import Address
from protocol.errors import Unreachable
from protocol.hub import DescribeHub
from tests.server import until

HUB = Address("hub", "main")


def beside(name: str) -> str:
    return str(Path(sys.executable).parent / name)


@asynccontextmanager
async def hub_at_work(folder: Path, settings: str = "", env: Mapping[str, str] | None = None):
    """Make a hub and bring it up, with these variables more; everything that it started is gone afterwards."""
    hub = init_hub(folder / "hub")
    if settings:
        (hub.root / "codex-autorunner.yml").write_text(settings)
    equip(hub)
    settle(hub)
    with variables(env or {}):
        launch.up(hub, until=process.myself())
    try:
        async with door_to(hub) as door:
            await ready(door)
            yield hub, door
    finally:
        await asyncio.to_thread(launch.stop, hub)
        await until(lambda: not process.marked(f"{hub.token}."), 5)


@contextmanager
def variables(env: Mapping[str, str]) -> Iterator[None]:
    """Have variables of the environment: whoever starts a hub hands its own down to it."""
    before = {name: os.environ.get(name) for name in env}
    os.environ.update(env)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@asynccontextmanager
async def door_to(hub: Hub):
    async with open_door(hub, "cli", wait=20) as door:
        yield door


async def ready(door: Door, seconds: float = 20.0) -> None:
    """Wait until a host answers."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            await door.ask(HUB, DescribeHub())
        except Unreachable:
            assert loop.time() < end, "no host answers"
            await asyncio.sleep(0.05)
        else:
            return


def record(hub: Hub, name: str) -> process.Record:
    found = process.read(hub.run, name)
    assert found, f"no record of {name}"
    return found


def kill(who: process.Identity) -> None:
    """Kill exactly this process, as a person with kill -9 would."""
    if process.alive(who):
        os.kill(who.pid, 9)
