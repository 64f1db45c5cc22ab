"""The load: who tells what to whom, by a seed, for as long as the chaos goes on."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from random import Random

from actors.runtime.nats.layout import SHARDS
from actors.runtime.nats.ports import shard_of
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.node import Watch
from tests.chaos.history import FAILS
from tests.chaos.said import (
    Count,
    DropTimer,
    End,
    Fail,
    Job,
    Poke,
    Push,
    Raise,
    SetTimer,
    Spread,
    Talk,
    Transfer,
)
from tests.chaos.teller import Teller

TELLERS = 12
PACE = 0.065
"""Seconds that one teller waits between two messages, about."""
LONGEST = 8.0
"""Seconds of the longest timer."""


def _those(kind: str, count: int) -> tuple[Address, ...]:
    return tuple(Address(kind, f"{kind[0]}{number}") for number in range(count))


def _of_shard(shard: int) -> Address:
    numbers = range(100_000)
    return next(one for one in (Address("counter", f"s{shard}-{n}") for n in numbers) if shard_of(one) == shard)


COUNTERS = tuple(map(_of_shard, range(SHARDS)))
"""One in each shard: they also tell when a shard is served again."""
ACCOUNTS, CLOCKS, HORNS, EARS = _those("account", 24), _those("clock", 16), _those("horn", 4), _those("ear", 16)
PARENTS, TALKERS, BOSSES, GROWN = _those("parent", 8), _those("talker", 8), _those("boss", 8), _those("grown", 8)
PUSHERS, SLOW, FRAGILE = _those("pusher", 4), _those("slow", 2), _those("fragile", 4)
WATCHED = tuple((str(talker), str(ear)) for talker, ear in zip(TALKERS, EARS, strict=False))


@dataclass
class Load:
    """Tells until it is told to end; then every child is let go, so that nothing is half done."""

    teller: Teller
    seed: int
    pace: float = PACE
    ending: bool = False

    async def watch(self) -> None:
        """Let ears watch talkers."""
        for number, (talker, ear) in enumerate(zip(TALKERS, EARS, strict=False)):
            one = Envelope(Address("door", "load"), (letter(Watch(watcher=ear), f"watch-{number}"),))
            await self.teller.post.send(talker, one)

    async def run(self) -> None:
        """Tell until ``ending``."""
        tellers = [self._wander(f"t{number}", Random(f"{self.seed} {number}")) for number in range(TELLERS)]
        raisers = [self._raise(parent, Random(f"{self.seed} {parent}")) for parent in PARENTS]
        await asyncio.gather(*tellers, *raisers)

    async def pour(self, slow: Address, count: int) -> None:
        """Tell one more than its mailbox holds."""
        await asyncio.gather(*(self.teller.pour("pour", slow, lambda n: Count(by="pour", n=n)) for _ in range(count)))

    async def push(self, slow: Address) -> None:
        """Let actors tell one whose mailbox is full."""
        await asyncio.gather(*(self._tell("push", one, lambda n: Push(by="push", n=n, to=slow)) for one in PUSHERS))

    async def _wander(self, me: str, rng: Random) -> None:
        deeds = (self._count, self._transfer, self._time, self._spread, self._talk, self._job, self._grow, self._fail)
        while not self.ending:
            (deed,) = rng.choices(deeds, (44, 20, 12, 2, 5, 6, 6, 2))
            await deed(me, rng)
            await asyncio.sleep(rng.expovariate(1 / self.pace))

    async def _count(self, me: str, rng: Random) -> None:
        await self._tell(me, rng.choice(COUNTERS), lambda n: Count(by=me, n=n))

    async def _transfer(self, me: str, rng: Random) -> None:
        one, two = rng.sample(ACCOUNTS, 2)
        amount = rng.randint(1, 50)
        await self._tell(me, one, lambda n: Transfer(by=me, n=n, to=two, amount=amount))

    async def _time(self, me: str, rng: Random) -> None:
        clock, timer = rng.choice(CLOCKS), f"t{rng.randrange(4)}"
        if rng.random() < 0.3:
            await self._tell(me, clock, lambda n: DropTimer(by=me, n=n, timer=timer))
        else:
            seconds = rng.choice((0.0, 0.05, 0.3, 1.0, 2.5, rng.uniform(0.1, LONGEST)))
            await self._tell(me, clock, lambda n: SetTimer(by=me, n=n, timer=timer, seconds=seconds))

    async def _spread(self, me: str, rng: Random) -> None:
        await self._tell(me, rng.choice(HORNS), lambda n: Spread(by=me, n=n, ears=EARS))

    async def _talk(self, me: str, rng: Random) -> None:
        await self._tell(me, rng.choice(TALKERS), lambda n: Talk(by=me, n=n, facts=1 + n % 3))

    async def _job(self, me: str, rng: Random) -> None:
        await self._tell(me, rng.choice(BOSSES), lambda n: Job(by=me, n=n))

    async def _grow(self, me: str, rng: Random) -> None:
        await self._tell(me, rng.choice(GROWN), lambda n: Count(by=me, n=n))

    async def _fail(self, me: str, rng: Random) -> None:
        if rng.random() < 0.3:
            await self._tell(FAILS, rng.choice(FRAGILE), lambda n: Fail(by=FAILS, n=n))
        else:
            await self._tell(me, rng.choice(FRAGILE), lambda n: Count(by=me, n=n))

    async def _raise(self, parent: Address, rng: Random) -> None:
        """Live life after life: some of what a child is told comes when it is no more."""
        life = 0
        while not self.ending:
            life += 1
            deeds = ["raise", *["poke"] * rng.randint(0, 6), "end", *["poke"] * rng.randint(0, 2)]
            for deed in deeds:
                await self._live(parent, deed, life)
                if not self.ending:
                    await asyncio.sleep(rng.expovariate(0.1 / self.pace))

    async def _live(self, parent: Address, deed: str, life: int) -> None:
        kinds = {"raise": Raise, "poke": Poke, "end": End}
        self.teller.history.lives[f"child/{parent.key}"].append((deed, life))
        await self._tell("life", parent, lambda n: kinds[deed](by="life", n=n, life=life))

    def _tell(self, me: str, to: Address, make: Callable) -> Coroutine[None, None, int]:
        return self.teller.tell(me, to, make)
