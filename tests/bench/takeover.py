"""How long the actors of a host that is gone are without one: two hosts, each a process, on one server.

Every actor is asked which process plays it. Then one host is killed (kill -9), and all are asked again at once: how
long an actor was away is the time from the kill until it answers, and only those count that the dead one has played.
A row of its own is the same with a host that is frozen (SIGSTOP): nobody can see that it has ended, so only its lease
tells.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from actors.runtime.nats.roster import SILENCE
from protocol.address import Address
from protocol.envelope import Envelope, letter, unpack
from tests.bench.house import DOOR, House, house, run, side_by_side
from tests.bench.post import Outpost
from tests.bench.relay import Ping, Played
from tests.bench.row import Peer, Row, part_of

ACTORS, KILLS, FREEZES = 200, 5, 3
P50, LONGEST = 2.0, 4.0
PATIENCE = 10.0


@dataclass
class Roll:
    """Asks all actors, and notes when each answered and which process did."""

    one: House
    inbox: str
    names: list[Address] = field(default_factory=lambda: [Address("relay", f"k{n}") for n in range(ACTORS)])
    answers: dict[str, tuple[float, int]] = field(default_factory=dict)
    round: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    async def heard(self, msg) -> None:
        one = unpack(msg.headers, msg.data).letters[0]
        number, _, name = one.re.partition("-")
        view = one.open()
        if int(number) == self.round and isinstance(view, Played):
            self.answers.setdefault(name, (time.perf_counter(), view.pid))
        if len(self.answers) == ACTORS:
            self.done.set()

    async def call(self) -> dict[str, tuple[float, int]]:
        """Ask all; return when each has answered, and who played it."""
        self.round, self.answers = self.round + 1, {}
        self.done.clear()
        async with asyncio.timeout(PATIENCE):
            await side_by_side(ACTORS, lambda n: self._ask(self.names[n]), 32)
            await self.done.wait()
        return self.answers

    async def _ask(self, me: Address) -> None:
        asked = Envelope(DOOR, (letter(Ping(), f"{self.round}-{me.key}"),), inbox=self.inbox)
        await self.one.ports.post.send(me, asked)


def measure(folder: Path) -> Iterable[Row]:
    return run(_measure(folder))


async def _measure(folder: Path) -> Iterable[Row]:
    async with house(folder) as one, _roll(one) as roll:
        killed = await _losses(one, roll, KILLS, Outpost.kill)
        frozen = await _losses(one, roll, FREEZES, Outpost.freeze)
    lease = Peer("lease lapses after", SILENCE)
    return [_row("kill -9", killed, KILLS, lease), _row("SIGSTOP", frozen, FREEZES, lease)]


def _row(what: str, away: list[float], rounds: int, lease: Peer) -> Row:
    p50, longest = part_of(away, 0.5), max(away)
    return Row(
        f"take-over after {what}: p50",
        p50,
        "s",
        f"under {P50:.0f} s, none over {LONGEST:.0f} s",
        p50 < P50 and longest < LONGEST,
        (lease,),
        f"the longest {longest:.2f} s; {len(away)} actors lost their host in {rounds} rounds",
    )


@asynccontextmanager
async def _roll(one: House) -> AsyncIterator[Roll]:
    roll = Roll(one, one.link.client.new_inbox())
    await one.link.client.subscribe(roll.inbox, cb=roll.heard)
    yield roll


async def _losses(one: House, roll: Roll, rounds: int, end: Callable[[Outpost], None]) -> list[float]:
    """Lose one of two hosts again and again; return how long each of its actors was away."""
    away: list[float] = []
    with Outpost(one.server.url) as stays:
        for _ in range(rounds):
            with Outpost(one.server.url) as goes:
                played = await _shared(roll, {stays.pid, goes.pid})
                began = time.perf_counter()
                end(goes)
                answers = await roll.call()
                away += [answers[name][0] - began for name, pid in played.items() if pid == goes.pid]
    return away


async def _shared(roll: Roll, hosts: set[int]) -> dict[str, int]:
    """Wait until both hosts have their share, twice the same; return who plays each actor."""
    before: dict[str, int] = {}
    async with asyncio.timeout(PATIENCE):
        while True:
            played = {name: pid for name, (_, pid) in (await roll.call()).items()}
            if set(played.values()) == hosts and played == before:
                return played
            before = played
            await asyncio.sleep(0.5)
