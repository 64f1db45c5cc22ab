"""Tells actors from outside, as a bridge does: with ids, again and again under the same id, until the server has it."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.runtime.nats.ports import NatsPost
from protocol.address import Address
from protocol.envelope import Envelope, letter
from protocol.errors import Full, Unreachable
from tests.chaos.history import Accepted, History, Log
from tests.chaos.said import Told

PATIENCE = 1.5
"""Seconds for which an answer is awaited before the same is said again."""


@dataclass
class Teller:
    """Numbers what each teller tells each actor; one teller tells one thing at a time to the same actor."""

    post: NatsPost
    history: History
    log: Log
    accepted: int = 0
    refused: int = 0
    again: int = 0
    _numbers: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    _locks: dict[tuple[str, str], asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    async def tell(self, by: str, to: Address, make: Callable[[int], Told]) -> int:
        """Tell something, however long it takes to be accepted; return its number."""
        async with self._locks[(by, str(to))]:
            n = self._next(by, to)
            while not await self._try(by, to, make(n)):
                await asyncio.sleep(0.2)
            return n

    async def pour(self, by: str, to: Address, make: Callable[[int], Told]) -> bool:
        """Tell something, but take a refusal for an answer; tell whether it was accepted."""
        return await self._try(by, to, make(self._next(by, to)))

    def next(self, by: str, to: Address) -> int:
        """Return the number that comes next."""
        return self._numbers[(by, str(to))] + 1

    def _next(self, by: str, to: Address) -> int:
        self._numbers[(by, str(to))] += 1
        return self._numbers[(by, str(to))]

    async def _try(self, by: str, to: Address, message: Told) -> bool:
        id_ = f"{by}-{to.kind}-{to.key}-{message.n}"
        envelope = Envelope(Address("door", by), (letter(message, id_),))
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    seq = await self.post.send(to, envelope)
            except Full:
                self.refused += 1
                return False
            except (TimeoutError, Unreachable):
                self.again += 1
                self.history.unsure[(by, str(to))].add(message.n)
                await asyncio.sleep(0.05)
            else:
                self.accepted += 1
                self.history.unsure[(by, str(to))].discard(message.n)
                self.history.accepted[(by, str(to))].append(Accepted(message.n, seq, self.log.now))
                self.log.note("accepted", str(to), by=by, n=message.n, seq=seq, said=message.name)
                return True
