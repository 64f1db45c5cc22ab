"""Reads a stream as a log: every message of a subject from a sequence on, in order, then what comes.

It holds nothing on the server. A subscription only rings when something new is stored; what is read is fetched from
the stream by its sequence, so a lost ring costs a beat and never a message.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from nats.aio.msg import Msg

from actors.runtime.nats.link import Link
from protocol.errors import Unreachable

BATCH = 200
_ENDS = ("204", "404")
"""What the server says at the end of a batch, and where there is nothing."""
BEAT = 1.0
"""Seconds after which a reader looks without having been called."""


class Entry(NamedTuple):
    """One message of the log."""

    seq: int
    subject: str
    at: datetime
    headers: Mapping[str, str]
    data: bytes


async def follow(link: Link, stream: str, subject: str, start: int = 1) -> AsyncGenerator[Entry, None]:
    """Yield the messages of a subject (wildcards are fine) from a sequence on, for ever."""
    rung = asyncio.Event()
    rung.set()

    async def ring(_: Msg) -> None:
        rung.set()

    subscription = await link.client.subscribe(subject, cb=ring)
    try:
        while True:
            rung.clear()
            entries = await _again(link, stream, subject, start)
            for entry in entries:
                yield entry
                start = entry.seq + 1
            if not entries:
                with suppress(TimeoutError):  # wait_for would lose a cancel that comes with the ring
                    async with asyncio.timeout(BEAT):
                        await rung.wait()
    finally:
        if not link.client.is_closed:
            await subscription.unsubscribe()


async def read_all(link: Link, stream: str, subject: str, start: int = 1, since: datetime | None = None) -> list[Entry]:
    """Return what is there now, from a sequence on or from a time on."""
    entries: list[Entry] = []
    if since:
        entries = await _fetch(link, stream, subject, since)
        start = entries[-1].seq + 1 if entries else 0
    while start and (batch := await _fetch(link, stream, subject, start)):
        entries += batch
        start = batch[-1].seq + 1
    return entries


async def _again(link: Link, stream: str, subject: str, start: int) -> list[Entry]:
    while True:
        try:
            return await _fetch(link, stream, subject, start)
        except Unreachable:
            await asyncio.sleep(BEAT / 4)


async def _fetch(link: Link, stream: str, subject: str, start: int | datetime) -> list[Entry]:
    where = {"seq": start} if isinstance(start, int) else {"start_time": start.isoformat()}
    request = {**where, "next_by_subj": subject, "batch": BATCH, "max_bytes": 4_000_000}
    messages, end = await link.ask_many(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode())
    if end not in _ENDS:
        raise Unreachable(f"NATS cannot read {stream} now: {end}")
    return [_entry(msg) for msg in messages]


def _entry(msg: Msg) -> Entry:
    headers = msg.headers or {}
    return Entry(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        at=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        headers=headers,
        data=msg.data,
    )
