"""The lines of agent processes, as PROC keeps them: numbered, each once, in the order in which they were stored.

One message holds all complete lines of one read; a line that is longer than a message may be comes in numbered parts.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Literal, NamedTuple

import structlog

from actors.runtime.nats.layout import PROC
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import Entry, follow
from actors.runtime.ports import Conflict
from protocol.errors import Unreachable

LARGEST = 4_000_000
"""Bytes of lines in one message; the server takes 8 MB with its headers."""

Stream = Literal["in", "out", "err"]

log = structlog.get_logger()


class Chunk(NamedTuple):
    """Lines ``first`` to ``last`` of one stream of a process; ``seq`` is where PROC keeps (the last part of) them."""

    seq: int
    stream: str
    first: int
    last: int
    lines: tuple[str, ...]


class Writer:
    """Appends to one stream of one process, each line once, whatever the wire does."""

    def __init__(self, link: Link, proc: str, stream: Stream) -> None:
        """Write over this connection."""
        self._link = link
        self._subject = f"car.proc.{proc}.{stream}"
        self._last = 0

    async def append(self, first: int, lines: tuple[str, ...]) -> None:
        """Store lines, the first of which bears this number; wait for as long as the server is away."""
        await self._store(first, first + len(lines) - 1, lines)

    async def tell(self, number: int, lines: tuple[str, ...]) -> None:
        """Store what is to be written to stdin at once, under one number."""
        await self._store(number, number, lines)

    async def _store(self, first: int, last: int, lines: tuple[str, ...]) -> None:
        for number, of, part in _parts("\n".join(lines).encode()):
            headers = {"Car-First": str(first), "Car-Last": str(last), "Car-Part": f"{number}/{of}"}
            await self._once(part, headers)

    async def last(self) -> int:
        """Return the number of the last line (of ``in``: of the last tell) that is stored."""
        kept = await self._link.last(PROC, self._subject)
        self._last = kept.seq if kept else 0
        return int(kept.headers.get("Car-Last", "0")) if kept else 0

    async def _once(self, body: bytes, headers: dict[str, str]) -> None:
        pause = 0.05
        while True:
            try:
                expected = {"Nats-Expected-Last-Subject-Sequence": str(self._last)}
                self._last = (await self._link.store(self._subject, body, headers | expected)).seq
            except Conflict:
                if await self._there(headers):
                    return
            except Unreachable as error:
                log.info("waiting to store lines", subject=self._subject, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                return

    async def _there(self, headers: dict[str, str]) -> bool:
        """Look at what the server has last; tell whether that is (or follows) what was to be stored."""
        try:
            kept = await self._link.last(PROC, self._subject)
        except Unreachable:
            return False
        self._last = kept.seq if kept else 0
        return kept is not None and _place(kept.headers) >= _place(headers)


async def chunks(link: Link, proc: str, start: int, stream: str = "*") -> AsyncIterator[Chunk]:
    """Yield the chunks of a process from a sequence of PROC on, for ever."""
    parts: dict[str, list[bytes]] = {}
    async for entry in follow(link, PROC, f"car.proc.{proc}.{stream}", start):
        number, _, of = entry.headers["Car-Part"].partition("/")
        held = parts.setdefault(entry.subject, [])
        held.append(entry.data)
        if number == of:
            yield _chunk(entry, b"".join(parts.pop(entry.subject)))


async def purge(link: Link, proc: str, before: int = 0) -> None:
    """Forget what a process said, or only what is stored below a sequence."""
    body: dict[str, object] = {"filter": f"car.proc.{proc}.*"}
    if before:
        body["seq"] = before
    await link.api(f"STREAM.PURGE.{PROC}", body)


def _chunk(entry: Entry, body: bytes) -> Chunk:
    first, last = int(entry.headers["Car-First"]), int(entry.headers["Car-Last"])
    stream = entry.subject.rpartition(".")[2]
    return Chunk(entry.seq, stream, first, last, tuple(body.decode(errors="replace").split("\n")))


def _parts(body: bytes) -> list[tuple[int, int, bytes]]:
    pieces = [body[at : at + LARGEST] for at in range(0, len(body), LARGEST)] or [b""]
    return [(number, len(pieces), piece) for number, piece in enumerate(pieces, 1)]


def _place(headers: Mapping[str, str]) -> tuple[int, int]:
    return int(headers.get("Car-Last", "0")), int(headers.get("Car-Part", "0/0").partition("/")[0])
