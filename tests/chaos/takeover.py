"""How long the shards of a killed host are without one: a mail to an actor of each says when it is heard."""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

from tests.chaos.history import Log
from tests.chaos.load import COUNTERS
from tests.chaos.said import Count
from tests.chaos.teller import Teller
from tests.chaos.watch import Watch

PROBE = "probe"
PATIENCE = 20.0


@dataclass
class Takeovers:
    """Measures after each kill; only those count as clean that came alone, with nothing else broken at that time."""

    teller: Teller
    watch: Watch
    log: Log
    alone: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    never: int = 0

    async def measure(self, shards: list[int], *, alone: bool) -> None:
        """Wait until an actor of each of these shards has heard a mail that was told after the kill."""
        killed = time.monotonic()
        heard = await asyncio.gather(*(self._probe(shard, killed) for shard in shards))
        if not heard:
            return
        self.never += sum(one is None for one in heard)
        worst = max(PATIENCE if one is None else one for one in heard)
        (self.alone if alone else self.others).append(worst)
        self.log.note("takeover", seconds=round(worst, 3), shards=len(shards), alone=alone)

    async def _probe(self, shard: int, killed: float) -> float | None:
        counter = COUNTERS[shard]
        n = self.teller.next(PROBE, counter)
        heard = self.watch.effect(str(counter), PROBE, n)
        try:
            async with asyncio.timeout(PATIENCE):
                await self.teller.tell(PROBE, counter, lambda n: Count(by=PROBE, n=n))
                await heard
        except TimeoutError:
            return None
        return time.monotonic() - killed

    @property
    def p50(self) -> float:
        return round(statistics.median(self.alone or self.others or [0.0]), 3)

    @property
    def longest(self) -> float:
        return round(max(self.alone or self.others or [0.0]), 3)
