"""Questions over core NATS: asked of an address, answered by whoever serves it, lost if nobody does.

A question may name a mail that must have been handled before: its sequence in the mailbox stream, and the epoch of that
stream, as an answer has told it. Sequences are compared within one epoch only: a mail that is named in an older one was
handled then, or went with it, and nobody waits for it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from actors.runtime.nats.identity import believe, voice_of
from actors.runtime.nats.link import Link
from protocol.address import Address
from protocol.envelope import Envelope, letter, pack, unpack
from protocol.errors import CarError, Unreachable, Unreadable
from protocol.message import Message, Query
from protocol.node import Refusal

GROUP = "hosts"
PATIENCE = 6.0

log = structlog.get_logger()

Answer = Callable[[Address, Envelope, int], Awaitable[Message]]
"""Answers a question to an address; the number is the sequence of a mail that must have been handled (or 0)."""


class Answered(NamedTuple):
    """An answer, and the epoch of the mailbox stream behind it (nothing, where whoever answered has no mailboxes)."""

    message: Message
    epoch: str


async def inquire(link: Link, me: Address, to: Address, query: Query, seen: str = "") -> Answered:
    """Ask; ``seen`` names a mail as ``<epoch>:<sequence>``. Raise ``Unreachable`` where nobody answers."""
    return await _ask(link, Envelope(me, (letter(query, secrets.token_hex(8)),)), to, seen, PATIENCE)


async def ask(link: Link, me: Address, to: Address, query: Query, *, patience: float = PATIENCE) -> Message:
    """Ask whatever was said before; raise ``Unreachable`` where nobody answers."""
    return (await _ask(link, Envelope(me, (letter(query, secrets.token_hex(8)),)), to, "", patience)).message


async def _ask(link: Link, question: Envelope, to: Address, seen: str, patience: float) -> Answered:
    headers, body = pack(question)
    if seen:
        headers["Car-Seen"] = seen
    answer = await link.ask(to.subject("ask"), body, headers, patience)
    found = answer.headers or {}
    return Answered(unpack(found, answer.data).letters[0].open(), found.get("Car-Epoch", ""))


async def serve(link: Link, subject: str, answer: Answer, epoch: str = "") -> None:
    """Answer questions until cancelled, side by side; hosts share them. ``epoch`` is that of the mailbox stream now."""
    tasks: set[asyncio.Task[None]] = set()

    async def hear(msg: Msg) -> None:
        task = asyncio.get_running_loop().create_task(_one(link, msg, answer, epoch))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    subscription = await link.client.subscribe(subject, queue=GROUP, cb=hear)
    try:
        await asyncio.Event().wait()
    finally:
        for task in tasks:
            task.cancel()
        # A connection that is closed has forgotten it already.
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()


async def _one(link: Link, msg: Msg, answer: Answer, epoch: str) -> None:
    _, _, kind, key = msg.subject.split(".", 3)
    to = Address(kind, key)
    headers = msg.headers or {}
    try:
        asked = believe(voice_of(headers), unpack(headers, msg.data))
        found = await answer(to, asked, _seen(headers.get("Car-Seen", "0"), epoch))
    except CarError as error:
        found = Refusal(text=str(error), unable=isinstance(error, Unreachable))
    except Exception as error:  # the wall around a bug in an answer: the asker is told, and not that nobody is here
        log.exception("a question failed", to=str(to))
        found = Refusal(text=f"{to} could not answer: {type(error).__name__}: {error}")
    reply, body = pack(Envelope(to, (letter(found, secrets.token_hex(8)),)))
    if epoch:
        reply["Car-Epoch"] = epoch
    try:
        await link.client.publish(msg.reply, body, headers=reply)
    except (NatsError, Unreachable) as error:
        log.warning("an answer was lost", to=str(to), error=str(error))


def _seen(text: str, epoch: str) -> int:
    """Return the sequence that a question names, or 0 where nobody needs to wait for it; a plain number is of now."""
    named, _, number = text.rpartition(":")
    if not number.isdecimal():
        raise Unreadable(f"{text!r} names no mail; one is named like a1b2:17")
    return int(number) if named in ("", epoch) or not epoch else 0
