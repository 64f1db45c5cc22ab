"""A memory that forgets at once, so that what is left in the process is the runtime's own."""

import itertools
from datetime import UTC, datetime

from actors.runtime.memory import Memory
from actors.runtime.ports import Delivery, Mail, Stored
from protocol.address import Address
from protocol.envelope import Envelope, Mark, letter
from protocol.message import Message


class Sink(Memory):
    """Ports that lead nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)
        self.settled = 0

    async def send(self, to: Address, envelope: Envelope) -> int:
        return next(self._numbers)

    async def bury(self, to: Address, envelope: Envelope, why: str) -> None:
        raise AssertionError(why)

    async def load(self, me: Address) -> Stored | None:
        return None

    async def save(self, me: Address, data: bytes, revision: int, ttl: float = 0) -> int:
        return next(self._numbers)

    def delivery(self, to: Address, message: Message, sender: Address) -> Delivery:
        """Bring a mail of another actor."""
        number = next(self._numbers)
        envelope = Envelope(sender, (letter(message, f"{number:016x}"),), "0" * 16, mark=Mark(self.epoch, number))

        async def settle() -> None:
            self.settled += 1

        return Delivery(Mail(to, envelope, self.epoch, number, datetime.now(UTC)), settle)
