"""Questions over one connection: each is answered below one inbox, and none waits for what cannot come any more.

The client's own way waits for its whole patience where the wire broke or the server said no. Here whoever waits hears
at once of both.
"""

import asyncio
import itertools
from collections.abc import Mapping
from typing import NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from protocol.errors import Unreachable, Unsent

_NOBODY = "503"


class _Open(NamedTuple):
    """A question that is not answered yet."""

    subject: str
    answer: "asyncio.Future[Msg]"
    parts: list[Msg] | None
    """What has come of an answer in several messages, which ends with a word of the server."""


class Requests:
    """Whoever waits for an answer over a connection."""

    def __init__(self, client: Client) -> None:
        """Wait for nothing yet."""
        self._client = client
        self._open: dict[str, _Open] = {}
        self._numbers = itertools.count(1)
        self._inbox = ""

    async def listen(self) -> None:
        """Listen for answers: once, when the connection is made."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._heard)

    async def ask(self, subject: str, body: bytes, headers: Mapping[str, str] | None, patience: float) -> Msg:
        """Return the answer; raise ``Unreachable`` where there is none within ``patience`` seconds, or can be none."""
        loop = asyncio.get_running_loop()
        return await self._ask(_Open(subject, loop.create_future(), None), body, headers, patience)

    async def ask_many(self, subject: str, body: bytes, patience: float) -> tuple[list[Msg], str]:
        """Return an answer in several messages, and the status with which the server ends it."""
        parts: list[Msg] = []
        waiting = _Open(subject, asyncio.get_running_loop().create_future(), parts)
        end = await self._ask(waiting, body, None, patience)
        return parts, (end.headers or {}).get("Status", "")

    async def _ask(self, waiting: _Open, body: bytes, headers: Mapping[str, str] | None, patience: float) -> Msg:
        loop = asyncio.get_running_loop()
        subject, number = waiting.subject, str(next(self._numbers))
        self._open[number] = waiting
        expiry = loop.call_later(patience, _fail, waiting, f"NATS does not answer on {subject} within {patience:.0f} s")
        try:
            reply = f"{self._inbox}.{number}"
            await self._client.publish(subject, body, reply=reply, headers=dict(headers) if headers else None)
            msg = await waiting.answer
        except (NatsError, OSError) as error:
            raise Unreachable(f"NATS does not answer on {subject}: {error or type(error).__name__}") from error
        finally:
            expiry.cancel()
            del self._open[number]
        if msg.headers and msg.headers.get("Status") == _NOBODY:
            raise Unsent(f"nobody answers on {subject}")
        return msg

    def break_off(self, why: str) -> None:
        """Tell everybody who waits that no answer will come: the wire broke."""
        for waiting in self._open.values():
            _fail(waiting, why)

    def deny(self, subject: str) -> None:
        """Tell whoever waits for it that the server does not allow a subject, which comes in small letters."""
        for waiting in self._open.values():
            if waiting.subject.lower() == subject:
                _fail(waiting, f"the NATS server does not allow us {waiting.subject}", Unsent)

    async def _heard(self, msg: Msg) -> None:
        waiting = self._open.get(msg.subject.rpartition(".")[2])
        if waiting is None or waiting.answer.done():
            return
        if waiting.parts is None or "Nats-Sequence" not in (msg.headers or {}):
            waiting.answer.set_result(msg)
        else:
            waiting.parts.append(msg)


def _fail(waiting: _Open, why: str, blame: type[Unreachable] = Unreachable) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(blame(why))
