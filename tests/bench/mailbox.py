"""How fast actors handle durable mail, one host and many actors, beside nats-py doing the same (see ``limit.py``).

Batons go round in rings of actors: each hop is one mail that is handled, one record written, one mail sent. How long a
hop takes is measured with one baton alone, how many there are in a second with one in each of 64 rings.

What bounds both is the disk, and that is not the same from one second to the next. So they take turns in short rounds,
and what is judged is the median of the ratios within each pair of rounds.
"""

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise
from pathlib import Path

from actors.runtime.nats.layout import STATE
from protocol.envelope import Envelope, Mark, letter, pack
from tests.bench.house import House, house, run
from tests.bench.limit import Limit
from tests.bench.relay import RING, Baton, Course, runner
from tests.bench.row import Peer, Row, part_of

RINGS, HOPS, ALONE, ROUNDS = 64, 16, 60, 9
SHARE, LATENCY = 0.7, 2.0

Say = Callable[[int, int], Awaitable[object]]


def measure(folder: Path) -> Iterable[Row]:
    return run(_measure(folder))


async def _measure(folder: Path) -> Iterable[Row]:
    async with house(folder) as one, one.host():
        await _round(one.course, RINGS, RING - 1, _ours(one))
        record, mail = await _sizes(one)
        course = Course()
        limit = Limit(one.link.client, course, record, mail)
        await limit.furnish()
        await _round(course, RINGS, RING - 1, _theirs(limit))
        rates: tuple[list[float], list[float]] = ([], [])
        waits: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            for number, (watch, say) in enumerate(((one.course, _ours(one)), (course, _theirs(limit)))):
                rates[number].append(await _round(watch, RINGS, HOPS, say))
                await _round(watch, 1, ALONE, say)
                waits[number].extend(1000 * (after - before) for before, after in pairwise(watch.passed))
    ours, theirs = map(statistics.median, rates)
    share = statistics.median(mine / other for mine, other in zip(*rates, strict=True))
    p50, limit50 = (part_of(taken, 0.5) for taken in waits)
    return [
        Row(
            "durable message with one Send, 512 actors",
            ours,
            "/s",
            f"{SHARE} of raw nats-py",
            share >= SHARE,
            (Peer("raw nats-py", theirs),),
            f"{share:.2f} of it in the median of {ROUNDS} pairs; {RINGS} on their way, {record} bytes of record, "
            f"{mail} of mail, each on the disk at once",
        ),
        Row(
            "the same, one alone: p50",
            p50,
            "ms",
            f"under {LATENCY:.0f} ms",
            p50 < LATENCY,
            (Peer("raw nats-py", limit50),),
            f"p99: {part_of(waits[0], 0.99):.2f} ms, raw nats-py: {part_of(waits[1], 0.99):.2f} ms",
        ),
    ]


def _ours(one: House) -> Say:
    return lambda ring, left: one.say(runner(ring, 0), Baton(ring=ring, left=left))


def _theirs(limit: Limit) -> Say:
    return lambda ring, left: limit.say(ring, 0, left)


async def _round(course: Course, rings: int, hops: int, say: Say) -> float:
    """Let one baton go round in each ring for so many hops; return the hops in a second."""
    course.begin(rings * (hops + 1))
    await asyncio.gather(*(say(ring, hops) for ring in range(rings)))
    await course.done.wait()
    await asyncio.sleep(0.1)
    return (len(course.passed) - 1) / (course.passed[-1] - course.passed[0])


async def _sizes(one: House) -> tuple[int, int]:
    """Return the bytes of a record with one Send in it, and those of a mail with its headers."""
    to = runner(0, 1)
    kept = await one.link.last(STATE, f"$KV.STATE.{to.kind}.{to.key}")
    assert kept
    said = Envelope(to, (letter(Baton(ring=0, left=HOPS), "0" * 16),), "0" * 16, mark=Mark("0" * 8, kept.seq))
    headers, body = pack(said)
    return len(kept.data), len(body) + sum(len(name) + len(value) + 4 for name, value in headers.items())
