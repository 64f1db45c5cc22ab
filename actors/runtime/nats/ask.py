"""Questions over core NATS: asked of an address, answered by whoever serves it, lost if nobody does."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from actors.runtime.nats.link import Link
from protocol.address import Address
from protocol.envelope import Envelope, letter, pack, unpack
from protocol.errors import CarError, Unreachable
from protocol.message import Message, Query
from protocol.node import Refusal

GROUP = "hosts"
PATIENCE = 6.0

log = structlog.get_logger()

Answer = Callable[[Address, Envelope, int], Awaitable[Message]]
"""Answers a question to an address; the number is the sequence of a mail that must have been handled (or 0)."""


async def ask(  # noqa: PLR0917  # all of them are one question
    link: Link, me: Address, to: Address, query: Query, seen: int = 0, patience: float = PATIENCE
) -> Message:
    """Ask; raise ``Unreachable`` where nobody answers."""
    headers, body = pack(Envelope(me, (letter(query, secrets.token_hex(8)),)))
    headers["Car-Seen"] = str(seen)
    answer = await link.ask(to.subject("ask"), body, headers, patience)
    return unpack(answer.headers or {}, answer.data).letters[0].open()


async def serve(link: Link, subject: str, answer: Answer) -> None:
    """Answer questions until cancelled, side by side; hosts share them."""
    tasks: set[asyncio.Task[None]] = set()

    async def hear(msg: Msg) -> None:
        task = asyncio.get_running_loop().create_task(_one(link, msg, answer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    subscription = await link.client.subscribe(subject, queue=GROUP, cb=hear)
    try:
        await asyncio.Event().wait()
    finally:
        for task in tasks:
            task.cancel()
        if not link.client.is_closed:
            await subscription.unsubscribe()


async def _one(link: Link, msg: Msg, answer: Answer) -> None:
    _, _, kind, key = msg.subject.split(".", 3)
    to = Address(kind, key)
    headers = msg.headers or {}
    try:
        asked = unpack(headers, msg.data)
        found = await answer(to, asked, int(headers.get("Car-Seen", "0")))
    except CarError as error:
        found = Refusal(text=str(error), unable=isinstance(error, Unreachable))
    except Exception as error:  # the wall around a bug in an answer: the asker is told, and not that nobody is here
        log.exception("a question failed", to=str(to))
        found = Refusal(text=f"{to} could not answer: {type(error).__name__}: {error}")
    reply, body = pack(Envelope(to, (letter(found, secrets.token_hex(8)),)))
    try:
        await link.client.publish(msg.reply, body, headers=reply)
    except (NatsError, Unreachable) as error:
        log.warning("an answer was lost", to=str(to), error=str(error))
