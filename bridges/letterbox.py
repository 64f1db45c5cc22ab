"""Where what is said is put in. Whoever does it hears the truth: it is stored, it is not, or nobody can know."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from actors.runtime.nats.link import Link
from actors.runtime.nats.ports import NatsPost
from actors.runtime.place import FULL, Hub, free
from bridges.vigil import masked
from protocol.address import Address
from protocol.envelope import Envelope
from protocol.errors import Full, Refused, Unreachable, Unsent

TRIES = 10.0
"""Seconds for which it is tried to say something to a server that does not answer."""
REMEMBERED = 1000
"""Actors of whom it is remembered what they were told last."""
ANSWER = 2.0
"""Seconds for which one try waits for its answer: the wire may have lost it, and the same id twice is one."""


class Doubtful(Unreachable):
    """It was sent and no answer came: it may have been stored or not. To say it again with the same id does no harm."""


@dataclass(slots=True)
class Memory:
    """What a door remembers, so that whoever asks an actor sees what was told to it before.

    ``mails`` are the newest mails to each actor, as a question names them; ``epoch`` is that of the mailbox stream, as
    the last answer over this connection (``wire`` tells it from others) has named it.
    """

    epoch: str = ""
    wire: int = 0
    mails: OrderedDict[Address, str] = field(default_factory=OrderedDict)

    def note(self, to: Address, seq: int, wire: int) -> None:
        """Remember a mail. Behind a new connection there may be another stream, until an answer says which."""
        epoch = self.epoch if wire == self.wire else ""
        known, _, newest = self.mails.get(to, "").rpartition(":")
        if known == epoch and newest and int(newest) > seq:
            return
        self.mails[to] = f"{epoch}:{seq}"
        self.mails.move_to_end(to)
        while len(self.mails) > REMEMBERED:
            self.mails.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Puts in what one door says. ``hub`` is where the server stores it, where that is known."""

    link: Link
    voice: str
    hub: Hub | None = None
    tries: float = TRIES

    async def store(self, to: Address, envelope: Envelope) -> int:
        """Store an envelope, tried again for a while where no answer comes."""
        loop = asyncio.get_running_loop()
        until, pause, in_doubt = loop.time() + self.tries, 0.05, False
        self.want_room()
        while True:
            try:
                await self.link.here(max(until - loop.time(), 0.0))
                return await self._send(to, envelope)
            except Full as error:
                if in_doubt:
                    why = str(error)
                    break
                raise Refused(f"{to} has more to do than it can hold; try again in a moment") from error
            except Unreachable as error:
                why, in_doubt = str(error), in_doubt or isinstance(error, Doubtful)
            if loop.time() + pause > until:
                break
            await asyncio.sleep(pause)
            pause = min(pause * 2, 1.0)
        why = masked(why)
        if in_doubt:
            raise Doubtful(
                f"the server did not say whether it has this ({why}); see how it stands before you say it again"
            )
        raise Unreachable(why)

    async def _send(self, to: Address, envelope: Envelope) -> int:
        """Store an envelope in one try; raise ``Doubtful`` where nobody can know whether it was stored."""
        try:
            async with asyncio.timeout(ANSWER):
                return await NatsPost(self.link, voice=self.voice).send(to, envelope)
        except Unsent:
            raise
        except TimeoutError as error:
            raise Doubtful("NATS does not answer") from error
        except Unreachable as error:
            raise Doubtful(str(error)) from error

    def want_room(self) -> None:
        """Say it where nothing can be stored: what is remembered is true then, but nothing moves."""
        if self.hub and free(self.hub.nats) < FULL:
            raise Unreachable(f"the disk of {self.hub.root} is full: make room there, and everything goes on by itself")
