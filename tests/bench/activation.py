"""How long a mail takes to an actor that rests in the store, beside one read of a key from the same store.

It is measured from before the mail is sent until the actor's step: stored, delivered, the record read, decided. Half of
that is the mail's own way, so an actor that is awake stands beside it too.
"""

import statistics
import time
from collections.abc import Iterable
from pathlib import Path

from actors.runtime.nats.layout import STATE
from protocol.address import Address
from tests.bench.house import House, house, run, side_by_side
from tests.bench.relay import Baton
from tests.bench.row import Peer, Row, part_of

ACTORS, LIMIT = 400, 3.0


def measure(folder: Path) -> Iterable[Row]:
    return run(_measure(folder))


async def _measure(folder: Path) -> Iterable[Row]:
    names = [Address("relay", f"k{number}") for number in range(ACTORS)]
    async with house(folder) as one:
        async with one.host():
            one.course.begin(ACTORS)
            await side_by_side(ACTORS, lambda number: one.say(names[number], Baton(ring=0)))
            await one.course.done.wait()
        async with one.host() as host:
            await _until_read(one)
            asleep, got, awake = [], [], []
            for me in names:
                asleep.append(await _way(one, me))
                got.append(await _get(one, me))
                awake.append(await _way(one, me))
            assert host.awake == ACTORS + 1
    p50 = statistics.median(asleep)
    return [
        Row(
            "mail to a passivated actor until its step: p50",
            p50,
            "ms",
            f"under {LIMIT:.0f} ms",
            p50 < LIMIT,
            (Peer("one KV get", statistics.median(got)), Peer("mail to one awake", statistics.median(awake))),
            f"p99: {part_of(asleep, 0.99):.2f} ms",
        )
    ]


async def _until_read(one: House) -> None:
    """Wait until the host reads."""
    await _way(one, Address("relay", "first"))


async def _way(one: House, me: Address) -> float:
    one.course.begin(1)
    began = time.perf_counter()
    await one.say(me, Baton(ring=0))
    await one.course.done.wait()
    return 1000 * (one.course.passed[0] - began)


async def _get(one: House, me: Address) -> float:
    began = time.perf_counter()
    assert await one.link.last(STATE, f"$KV.STATE.{me.kind}.{me.key}")
    return 1000 * (time.perf_counter() - began)
