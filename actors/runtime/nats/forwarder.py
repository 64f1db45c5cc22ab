"""Puts timers that have fired into the mailboxes of their actors, each by itself: a full mailbox holds up no other."""

import asyncio

import structlog

from actors.runtime.nats.link import Link
from actors.runtime.nats.pump import Item
from actors.runtime.ports import Post
from protocol.address import Address, token, untoken
from protocol.envelope import Envelope, Fire, letter
from protocol.errors import Unreachable, Unreadable
from protocol.node import Fired

TIMERS = Address("timer", "nats")
"""Who sends what timers say; the message itself lies in the record of the actor."""
LONGEST = 5.0
"""Seconds between two tries to bring a timer to a mailbox that is full."""

log = structlog.get_logger()


class Forwarder:
    """What has fired and is on its way. Of what is delivered again meanwhile the newest delivery is acknowledged."""

    def __init__(self, link: Link, post: Post) -> None:
        """Have nothing on the way."""
        self._link = link
        self._post = post
        self._items: dict[int, Item] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, item: Item) -> None:
        """Bring a timer on its way."""
        known = item.seq in self._items
        self._items[item.seq] = item
        if not known:
            task = asyncio.get_running_loop().create_task(self._bring(item.seq))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave(self) -> None:
        """Leave what is on its way to whoever reads this now."""
        for task in self._tasks:
            task.cancel()

    async def _bring(self, seq: int) -> None:
        try:
            item = self._items[seq]
            _, _, kind, key = item.msg.subject.split(".")
            if fire := _read((item.msg.headers or {}).get("Car-Fire", "")):
                await self._send(Address(kind, key), fire)
            else:
                log.warning("this is no timer", subject=item.msg.subject)
            await self._link.say(self._items[seq].msg.reply, b"+ACK")
        except Unreachable as error:
            log.info("a timer is brought again", error=str(error))  # since it was not acknowledged
        finally:
            del self._items[seq]

    async def _send(self, me: Address, fire: Fire) -> None:
        id_ = f"{me}.{token(fire.timer)}.{fire.generation}"
        envelope, pause = Envelope(TIMERS, (letter(Fired(), id_),), fire=fire), 0.1
        while True:
            try:
                await self._post.send(me, envelope)
            except Unreachable as error:
                log.info("timer waits", actor=str(me), error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST)
            else:
                return


def _read(text: str) -> Fire | None:
    name, _, generation = text.rpartition(":")
    try:
        return Fire(untoken(name), int(generation))
    except (Unreadable, ValueError):
        return None
