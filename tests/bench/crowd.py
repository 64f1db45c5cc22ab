"""What actors cost in memory that have nothing to do: those that are only known, and those that are awake.

Known are actors with a record in the store and no cell. The host is a process of its own, and its memory is read
before and after their records were written by this one.

Awake is a cell that has handled one mail, with a mark of its sender and an answer in its outbox, and rests with its
record in memory. The ports lead nowhere; what is read is the whole memory of the process, with all that a host imports.
Beside it: the same number of tasks that wait at a bare ``asyncio.Queue`` each.
"""

import asyncio
import importlib
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import psutil

from actors.runtime.nats.layout import STATE
from actors.runtime.supervisor import Supervisor
from protocol.address import Address
from tests.bench.house import House, house, lazy, run, side_by_side
from tests.bench.post import Outpost
from tests.bench.relay import Baton, Course, cast, runner
from tests.bench.row import Peer, Row
from tests.bench.sink import Sink

MANY, AT_ONCE = 100_000, 200
ROOM = 200.0
"""Megabytes that so many cells may have, all of the process counted."""
NOTHING = 5.0
"""Megabytes within which the memory of an idle process moves by itself."""
MB = 1_000_000


def measure(folder: Path) -> Iterable[Row]:
    importlib.import_module("actors.host")
    return [run(_awake()), run(_known(folder))]


def memory(pid: int | None = None) -> float:
    """Return the megabytes that a process has in memory."""
    return psutil.Process(pid).memory_info().rss / MB


async def _awake() -> Row:
    before = memory()
    sink = Sink()
    supervisor = Supervisor(cast(Course()), sink.ports)
    async with asyncio.timeout(60):
        for number in range(MANY):
            me, sender = Address("relay", f"k{number}"), Address("relay", f"k{number + 1}")
            supervisor.deliver(sink.delivery(me, Baton(ring=number, left=1), sender))
            while number - sink.settled > AT_ONCE:
                await asyncio.sleep(0)
        while sink.settled < MANY:
            await asyncio.sleep(0.01)
    after = memory()
    assert supervisor.awake == MANY
    supervisor.abort()
    return Row(
        f"{MANY:,} actors awake, memory of the process",
        after,
        "MB",
        f"under {ROOM:.0f} MB",
        after < ROOM,
        (Peer("tasks at a bare asyncio.Queue each", before + await _tasks()),),
        f"{before:.0f} MB before, so {1000 * (after - before) / MANY * 1000:,.0f} bytes for each",
    )


async def _tasks() -> float:
    """Return the megabytes of as many waiting tasks, reckoned from a fifth of them."""
    share = MANY // 5
    queues = [asyncio.Queue() for _ in range(share)]
    await asyncio.sleep(0)
    before = memory()
    more = [asyncio.Queue() for _ in range(share)]
    tasks = [asyncio.create_task(one.get()) for one in more]
    await asyncio.sleep(0)
    grown = memory() - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    del queues
    return grown * 5


async def _known(folder: Path) -> Row:
    async with house(folder, lazy) as one:
        with ExitStack() as stack:
            host = stack.enter_context(Outpost(one.server.url))
            server = one.server.process.pid if one.server.process else 0
            record = await _record(one)
            await asyncio.sleep(1)
            before, server_before = memory(host.pid), memory(server)
            await side_by_side(MANY, lambda n: one.link.store(f"$KV.STATE.relay.k{n}", record, {}), AT_ONCE)
            await asyncio.sleep(1)
            grown, server_grown = memory(host.pid) - before, memory(server) - server_before
    return Row(
        f"{MANY:,} actors known, memory of the host more",
        grown,
        "MB",
        f"none (under {NOTHING:.0f} MB)",
        grown < NOTHING,
        (),
        f"the host has {before:.0f} MB; the server, which keeps their {len(record)} bytes, {server_grown:.0f} MB more",
    )


async def _record(one: House) -> bytes:
    """Return a record as the host has written it."""
    await one.say(runner(0, 0), Baton(ring=0, left=2))
    to = runner(0, 1)
    async with asyncio.timeout(10):
        while not (kept := await one.link.last(STATE, f"$KV.STATE.{to.kind}.{to.key}")):
            await asyncio.sleep(0.05)
    return kept.data
