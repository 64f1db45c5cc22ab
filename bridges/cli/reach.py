"""How a command reaches the runtime: it finds the hub, opens the door where a host is alive, and heeds signals."""

import asyncio
import getpass
import logging
import os
import re
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import structlog
import typer

from actors.runtime import launch
from actors.runtime.place import Hub
from bridges.bridge import Door, embeds, open_door
from protocol.address import Address
from protocol.errors import Unreachable, Unreadable
from protocol.hub import DescribeHub, HubView
from protocol.message import Message, Query
from protocol.session import Place

NAME = "cli"
HUB = Address("hub", "main")
NOBODY = "no host of CAR is alive here, type: car up"
START = 20.0
"""Seconds for which a start may take."""
FALLS = 3
"""Ends of a server in a row from which on it is clear that it will not start."""
_BY_SIGNAL = 128
_STAMP = re.compile(r"^(\[\d+\] )?\d{4}\S+ [\d:.]+ \[\w+ *\] ")
"""When a line was written, by whom and how badly it was meant."""

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def play(errand: Coroutine[None, None, T]) -> T:
    """Run an errand to its end. A signal that ends us lets it tidy up first."""
    # What the wire says of itself belongs into the log of a host; a person hears of it by our errors.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    return asyncio.run(_heed(errand))


async def _heed(errand: Coroutine[None, None, T]) -> T:
    heard: list[int] = []
    loop, me = asyncio.get_running_loop(), asyncio.current_task()

    def leave(number: int) -> None:
        heard.append(number)
        if me:
            me.cancel()

    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, leave, number)
    try:
        return await errand
    except asyncio.CancelledError:
        if heard:
            raise typer.Exit(_BY_SIGNAL + heard[0]) from None
        raise


@asynccontextmanager
async def enter(hub: Hub, wait: float = 3.0) -> AsyncIterator[Door]:
    """Open the door of a hub; raise ``Unreachable`` where no host is alive behind it."""
    if embeds(hub) and not any(one.alive for one in launch.states(hub) if one.name == "server"):
        raise Unreachable(NOBODY)
    async with open_door(hub, NAME, wait) as door:
        await repos(door)
        yield door


async def await_host(hub: Hub) -> None:
    """Return when a host answers; raise ``Unreachable`` with the last word of whoever does not start."""
    loop = asyncio.get_running_loop()
    until, fallen = loop.time() + START, set[int]()
    while True:
        try:
            async with enter(hub, wait=1.0):
                return
        except Unreachable as error:
            fallen |= {one.pid for one in launch.states(hub) if one.name == "server" and not one.alive}
            if len(fallen) > FALLS:
                raise Unreachable(_accuse(hub, "server")) from error
            if loop.time() > until:
                raise Unreachable(_accuse(hub, _missing(hub))) from error
        await asyncio.sleep(0.05)


async def await_server(hub: Hub) -> None:
    """Return when the server answers that a hub uses without owning it; raise ``Unreachable`` where it does not."""
    try:
        async with open_door(hub, NAME):
            return
    except Unreachable as error:
        said = str(error).removesuffix("; type: car up")
        raise Unreachable(f"{said}; start that server, or mend nats.url in the settings") from error


def _missing(hub: Hub) -> str:
    """Return the name of the first process that does not run, or else the host's."""
    alive = {one.name for one in launch.states(hub) if one.alive}
    cast = ("server", "custodian", "host") if embeds(hub) else ("custodian", "host")
    return next((name for name in cast if name not in alive), "host")


def _accuse(hub: Hub, name: str) -> str:
    """Say which process does not start, with its last word, and what can be done."""
    log = hub.log / f"{name}.log"
    try:
        lines = log.read_text(errors="replace").split("\n")
    except OSError:
        lines = []
    said = next((_STAMP.sub("", line).strip() for line in reversed(lines) if line.strip()), "it has said nothing")
    return f"the {name} does not start: {said}; mend that and it starts by itself, or type: car down (log: {log})"


async def repos(door: Door) -> HubView:
    """Return the repositories of the hub; raise ``Unreachable`` where no host is alive."""
    return await view(door, HUB, DescribeHub(), HubView)


async def view(door: Door, whom: Address, query: Query, kind: type[M]) -> M:
    """Ask, and return the answer where it is one of this kind."""
    return expect(await door.ask(whom, query), kind)


def expect(answer: Message, kind: type[M]) -> M:
    """Return an answer where it is one of this kind; anything else was said by another version of CAR."""
    if not isinstance(answer, kind):
        raise Unreadable(f"the host answered {answer.name} and not {kind.name}, type: car restart")
    return answer


def user() -> str:
    """Return who sits at this terminal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def person() -> str:
    """Return who we are to the runtime."""
    return f"{NAME}:{user()}"


def here(hub: Hub) -> Place:
    """Return the folder in which the command was typed."""
    return Place(node=hub.node, path=str(Path.cwd().resolve()))
