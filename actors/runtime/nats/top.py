"""The operator's view, gathered from what the server counts, from the leases, and from each host that lives."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from actors.runtime.nats.answer import Found
from actors.runtime.nats.dead import counts, resting
from actors.runtime.nats.layout import DEAD, MAIL, NODES, SHARDS
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import read_all
from actors.runtime.nats.micro import fares
from actors.runtime.ports import Store
from protocol.address import Address
from protocol.envelope import Envelope
from protocol.errors import Refused
from protocol.message import Message
from protocol.node import Lease
from protocol.top import ConsumerEntry, DescribeRuntime, HostEntry, Mailbox, RuntimeView, StreamEntry

WHOM = Address("runtime", "main")
DEEPEST = 10
"""Mailboxes of which it is looked up how old their oldest mail is."""
SUBJECTS = 20_000
"""Subjects with mail that are counted one by one; of more than these only a part is looked at."""
_LEASES = "$KV.NODES.host.*"


class _Boxes(NamedTuple):
    """What waits in MAIL: ``by`` shard and address, at the server's time ``at``."""

    at: datetime
    waiting: int
    by: Mapping[tuple[str, Address], int]
    partial: bool


class Overview:
    """Answers how it stands with the whole house."""

    def __init__(self, link: Link, store: Store) -> None:
        """Look at the server of this link."""
        self._link = link
        self._store = store

    async def answer(self, to: Address, asked: Envelope, seen: int) -> Message:
        """Answer ``DescribeRuntime``."""
        del seen
        if not isinstance(asked.letters[0].open(), DescribeRuntime):
            raise Refused(f"{to} cannot be asked {asked.letters[0].name}")
        return await look(self._link, self._store)


async def look(link: Link, store: Store, bound: int = SUBJECTS) -> RuntimeView:
    """Gather all of it now; of mailboxes not many more than ``bound``."""
    boxes, hosts, found, rest = await asyncio.gather(
        _boxes(link, bound), _hosts(link), streams(link), resting(link, store)
    )
    deepest = sorted(boxes.by.items(), key=lambda one: (-one[1], one[0]))[:DEEPEST]
    ages = await asyncio.gather(*(_age(link, boxes.at, shard, who) for (shard, who), _ in deepest))
    read = {shard for host in hosts if host.says for shard in host.says.shards}
    return RuntimeView(
        at=boxes.at,
        hosts=hosts,
        unread=tuple(shard for shard in range(SHARDS) if shard not in read),
        waiting=boxes.waiting,
        mailboxes=len(boxes.by),
        deepest=tuple(
            Mailbox(who=str(who), waiting=count, age=age)
            for ((_, who), count), age in zip(deepest, ages, strict=True)
            if age is not None
        ),
        partial=boxes.partial,
        streams=found,
        dead=next((one.messages for one in found if one.name == DEAD), 0),
        resting=rest,
    )


async def streams(link: Link) -> tuple[StreamEntry, ...]:
    """Return every stream of the server that we may see, by name."""
    return tuple(
        sorted(
            [_stream(one) async for one in _pages(link, "STREAM.LIST", "streams")],
            key=lambda one: one.name,
        )
    )


async def consumers(link: Link, stream: str) -> tuple[ConsumerEntry, ...]:
    """Return who reads a stream, by name."""
    return tuple(
        sorted(
            [_consumer(one) async for one in _pages(link, f"CONSUMER.LIST.{stream}", "consumers")],
            key=lambda one: one.name,
        )
    )


async def _boxes(link: Link, bound: int) -> _Boxes:
    info = await link.api(f"STREAM.INFO.{MAIL}")
    by: Counter[tuple[str, Address]] = Counter()
    partial = info.number("state", "num_subjects") > bound
    for subjects in (f"car.*.{shard}.*.*" for shard in range(SHARDS)) if partial else ("car.*.*.*.*",):
        for subject, count in (await counts(link, MAIL, subjects)).items():
            # One mailbox has several subjects: one for each voice in which it is spoken to.
            _, _, shard, kind, key = subject.split(".")
            by[shard, Address(kind, key)] += count
        if len(by) >= bound:
            break
    waiting = info.number("state", "messages") if partial else sum(by.values())
    return _Boxes(datetime.fromisoformat(info.text("ts")), waiting, by, partial)


async def _age(link: Link, now: datetime, shard: str, who: Address) -> float | None:
    """Return the age of the oldest mail of a mailbox in seconds, or None where it has been read meanwhile."""
    asked = {"seq": 1, "next_by_subj": f"car.*.{shard}.{who.kind}.{who.key}"}
    found = await link.find(f"STREAM.MSG.GET.{MAIL}", asked)
    if found is None:
        return None
    stored = datetime.fromisoformat(found.text("message", "time"))
    return max(round((now - stored).total_seconds(), 3), 0.0)


async def _hosts(link: Link) -> tuple[HostEntry, ...]:
    kept = [entry.data for entry in await read_all(link, NODES, _LEASES)]
    leases = sorted(_leases(kept), key=lambda one: (one.node, one.since))
    said = await asyncio.gather(*(fares(link, one.name) for one in leases))
    return tuple(
        HostEntry(lease=one.name, node=one.node, release=one.release, since=one.since, says=says)
        for one, says in zip(leases, said, strict=True)
    )


def _leases(kept: list[bytes]) -> Iterator[Lease]:
    for data in kept:
        try:
            yield Lease.model_validate_json(data)
        except ValidationError:  # nothing, of one that has left, or of a host that speaks otherwise than we
            continue


async def _pages(link: Link, subject: str, name: str) -> AsyncIterator[Found]:
    """Yield the entries of a list that the server hands out in pages."""
    offset, total = 0, 1
    while offset < total:
        page = await link.api(subject, {"offset": offset})
        entries = page.sections(name)
        for one in entries:
            yield one
        offset, total = offset + max(len(entries), 1), page.number("total")


def _stream(found: Found) -> StreamEntry:
    first = found.text("state", "first_ts") if found.number("state", "messages") else ""
    return StreamEntry(
        name=found.text("config", "name"),
        subjects=_texts(found.part("config", "subjects")),
        messages=found.number("state", "messages"),
        bytes=found.number("state", "bytes"),
        bound=max(found.number("config", "max_bytes"), 0),
        consumers=found.number("state", "consumer_count"),
        oldest=datetime.fromisoformat(first) if first else None,
    )


def _consumer(found: Found) -> ConsumerEntry:
    active = found.text("delivered", "last_active")
    return ConsumerEntry(
        name=found.text("name"),
        subjects=_texts(found.part("config", "filter_subjects")) or _texts([found.part("config", "filter_subject")]),
        waits=found.number("num_pending"),
        taken=found.number("num_ack_pending"),
        again=found.number("num_redelivered"),
        asks=found.number("num_waiting"),
        active=datetime.fromisoformat(active) if active else None,
    )


def _texts(values: object) -> tuple[str, ...]:
    return tuple(one for one in values if isinstance(one, str)) if isinstance(values, list) else ()
