"""One host of the chaos: a host as ever, with the chaos cast. ``python -m tests.chaos.host`` starts here."""

import argparse
import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import structlog
import uvloop

from actors.runtime.journal import open_journal
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import House, open_house
from actors.runtime.nats.roster import new_lease
from actors.runtime.nats.work import Bench, seat
from actors.runtime.supervisor import Supervisor
from actors.runtime.worker import Worker, does
from protocol.errors import CarError, Unreachable
from tests.chaos.cast import NODE, cast
from tests.chaos.sabotage import sabotaged
from tests.chaos.said import Did, Do

DRAIN = 5.0
IDLE = 0.5
"""Seconds after which an actor rests: here each is woken from its record again and again."""


async def do(command: Do) -> Did:
    """Take a moment."""
    await asyncio.sleep(command.n % 5 * 0.004)
    return Did(n=command.n)


async def work(link: Link, house: House, supervisor: Supervisor) -> None:
    """Be a host until cancelled."""
    ports = house.ports
    house.usher.add(seat(Bench(link, ports.post, NODE, Worker("bench", dict([does(Do, do)])), ports.store)))
    async with asyncio.TaskGroup() as group:
        group.create_task(supervisor.run())
        group.create_task(link.watch())


async def drain(house: House, supervisor: Supervisor) -> None:
    """Leave as a host does that is told to end."""
    await house.usher.drain()
    if not await supervisor.finish(DRAIN):
        structlog.get_logger().warning("left with work in hand")
    await house.usher.vacate()


async def play(asked: argparse.Namespace) -> None:
    """Work until told to end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told.set)
    loop.add_reader(sys.stdin, lambda: os._exit(9))  # whoever started this is gone
    link = await connect(Login(asked.url, asked.name), wait=30.0)
    players = cast(asked.name, asked.release)
    lease = new_lease(NODE, {kind: actor.version for kind, actor in players.items()}, asked.release)
    house = await open_house(link, lease)
    Path(asked.lease).write_text(lease.name)  # noqa: ASYNC240  # a few bytes
    ways = tuple(filter(None, asked.sabotage.split(",")))
    supervisor = Supervisor(players, sabotaged(house.ports, link, ways), IDLE)
    working, waiting = loop.create_task(work(link, house, supervisor)), loop.create_task(told.wait())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        with suppress(CarError):  # a server that is away forgets us by itself
            await drain(house, supervisor)
        working.cancel()
        await asyncio.wait((working,))
        await link.close()
    else:
        working.result()


def main() -> None:
    """Be a host as the command line says."""
    parser = argparse.ArgumentParser()
    for name in ("--url", "--name", "--release", "--lease", "--sabotage"):
        parser.add_argument(name, default="")
    open_journal()
    try:
        uvloop.run(play(parser.parse_args()))
    except Unreachable as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
