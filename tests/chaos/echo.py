"""Repeats old mail late: what a frozen host may say when the server has long forgotten that it was said before."""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from nats.aio.msg import Msg

from actors.runtime.nats.link import Link
from protocol.errors import CarError
from tests.chaos.history import Log

AGE = 20.0
"""Seconds after which a mail has arrived, or its sender has been replaced."""
KEPT = 4000
AT_ONCE = 60


class _Old(NamedTuple):
    at: float
    subject: str
    headers: dict[str, str]
    data: bytes


@dataclass
class Echo:
    """Listens to what hosts say, and says some of it again without the id by which the server knows a repeat."""

    log: Log
    link: Link
    _heard: deque[_Old] = field(default_factory=lambda: deque(maxlen=KEPT))

    async def begin(self) -> None:
        for subject in ("car.mail.>", "car.work.>"):
            await self.link.client.subscribe(subject, cb=self._hear)

    async def _hear(self, msg: Msg) -> None:
        headers = dict(msg.headers or {})
        # What is told from outside is known for its last 16 ids only, and what one gives up before a full mailbox
        # it never says again.
        told = headers.get("Car-Sender", "").startswith("door/")
        if not told and ".slow." not in msg.subject and msg.data:
            headers.pop("Nats-Msg-Id", None)
            self._heard.append(_Old(self.log.now, msg.subject, headers, msg.data))

    async def repeat(self, rng: Random) -> int:
        """Say old mails again; return how many."""
        old = [one for one in self._heard if self.log.now - one.at > AGE] or list(self._heard)[: KEPT // 8]
        said = 0
        for one in rng.sample(old, min(AT_ONCE, len(old))):
            try:
                await self.link.store(one.subject, one.data, one.headers)
                said += 1
            except CarError:
                continue
        return said
