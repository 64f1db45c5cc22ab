"""How late durable timers are that are all due at one moment, beside the server itself.

A timer is late by the time from when it was due until its actor's step: the server fires, the host forwards what fired
into the mailbox, the cell takes it. Beside it is when the server, with nobody in its way, has handed as many fired
messages to a bare subscription: as the runtime wants it (each of them written to the disk at once), and as it is by
default (every two minutes), so that one sees what the disk's share is.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from actors.runtime.nats.layout import STREAMS, TIMER
from actors.runtime.nats.link import Link, Login, connect
from protocol.address import Address
from tests.bench.house import House, house, lazy, run, side_by_side
from tests.bench.relay import Alarm
from tests.bench.row import Peer, Row, part_of

TIMERS, EACH = 5_000, 10
AHEAD = 6.0
"""Seconds between the setting of the first timer and the moment; all must be set by then."""
LATE = 1.0


def measure(folder: Path) -> Iterable[Row]:
    return run(_measure(folder))


async def _measure(folder: Path) -> Iterable[Row]:
    async with house(folder) as one:
        bare = await _bare(one.link)
        async with one.host():
            late = await _late(one)
    (folder / "lazy").mkdir()
    lazily = await _lazily(folder / "lazy")
    return [
        Row(
            f"{TIMERS:,} timers due at once: the last is late by",
            late[-1],
            "s",
            f"under {LATE:.0f} s, none early",
            late[-1] < LATE and late[0] >= 0,
            (Peer("the server alone", bare[-1]), Peer("the server alone, not written at once", lazily[-1])),
            f"the first {late[0]:.3f} s, half of them {part_of(late, 0.5):.3f} s; alone {bare[0]:.3f}, "
            f"{part_of(bare, 0.5):.3f} s; {TIMERS // EACH} actors with {EACH} each",
        )
    ]


async def _lazily(folder: Path) -> list[float]:
    """Return what the server alone does where it writes to the disk every two minutes."""
    with lazy(folder) as server:
        link = await connect(Login(server.url, "bench"))
        try:
            return await _bare(link)
        finally:
            await link.close()


async def _late(one: House) -> list[float]:
    one.course.begin(TIMERS)
    at = time.time() + AHEAD
    await side_by_side(TIMERS // EACH, lambda n: one.say(Address("relay", f"k{n}"), Alarm(at=at, count=EACH)))
    async with asyncio.timeout(AHEAD + 20):
        await one.course.done.wait()
    return sorted(one.course.passed)


async def _bare(link: Link) -> list[float]:
    """Return how late the server hands over what it has fired, to one reader that only acknowledges."""
    config = {**STREAMS[TIMER], "subjects": ["raw.timer.*", "raw.fired.*"], "max_bytes": 100_000_000}
    await link.api("STREAM.CREATE.RAW", {"name": "RAW", "storage": "file", **config})
    asked = {"durable_name": "raw", "ack_policy": "explicit", "max_ack_pending": -1, "filter_subject": "raw.fired.*"}
    asked |= {"mem_storage": True, "deliver_subject": "raw.heard"}
    late: list[float] = []
    done = asyncio.Event()

    async def heard(msg) -> None:
        late.append(time.time() - at)
        await link.say(msg.reply, b"+ACK")
        if len(late) == TIMERS:
            done.set()

    await link.client.subscribe("raw.heard", cb=heard)
    await link.api("CONSUMER.CREATE.RAW.raw.raw.fired.*", {"stream_name": "RAW", "config": asked})
    at = time.time() + AHEAD / 2
    stamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def put(number: int) -> None:
        headers = {"Nats-Schedule": f"@at {stamp}", "Nats-Schedule-Target": f"raw.fired.k{number % 500}"}
        await link.store(f"raw.timer.k{number}", b"", headers)

    await side_by_side(TIMERS, put)
    assert time.time() < at, f"set too late by {time.time() - at:.1f} s"
    async with asyncio.timeout(30):
        await done.wait()
    return sorted(late)
