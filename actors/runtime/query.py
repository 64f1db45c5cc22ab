"""How a question is answered: from the record, without waking anybody."""

import asyncio
from datetime import datetime

from actors.runtime.actor import Cause
from actors.runtime.ports import Clock, Store, machine_clock
from actors.runtime.shape import decode
from actors.runtime.supervisor import Cast, actor_of
from protocol.address import Address
from protocol.envelope import Envelope
from protocol.errors import CarError, Refused, Unreachable
from protocol.message import Message, Query
from protocol.node import Refusal

PATIENCE = 4.0
"""Seconds for which a question waits until the mail that it must have seen is handled."""


async def answer(  # noqa: PLR0917  # all of them are one question
    cast: Cast, store: Store, to: Address, asked: Envelope, seen: int, clock: Clock = machine_clock
) -> Message:
    """Answer one question; ``seen`` is the sequence of a mail to the same actor that must be handled before (or 0)."""
    try:
        return await _answer(cast, store, to, asked, seen, clock)
    except CarError as error:
        return Refusal(text=str(error), unable=isinstance(error, Unreachable))


async def _answer(  # noqa: PLR0917  # as above
    cast: Cast, store: Store, to: Address, asked: Envelope, seen: int, clock: Clock
) -> Message:
    actor = actor_of(cast, to.kind)
    question = asked.letters[0].open()
    if actor is None or not isinstance(question, Query):
        raise Refused(f"{to} cannot be asked {asked.letters[0].name}")
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE
    while True:
        try:
            stored = await store.load(to)
        except Unreachable:  # such as just after a start of the server
            if loop.time() > until:
                raise
            await asyncio.sleep(0.2)
            continue
        record = decode(actor, stored.data) if stored and stored.data else None
        if seen <= (record.last if record else 0):
            break
        if loop.time() > until:
            raise Refused(f"{to} has not come to your command within {PATIENCE:.0f} s; ask again")
        await asyncio.sleep(0.01)
    state = record.state if record else actor.born(to)
    return actor.answer(state, question, _cause(to, asked, clock()))


def _cause(to: Address, asked: Envelope, at: datetime) -> Cause:
    return Cause(to, at, asked.sender, asked.id, asked.id, asked.person, inbox=asked.inbox)
