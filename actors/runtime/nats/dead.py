"""The dead letter office: what could not be handled is looked at, said once more, or thrown away.

Said once more, a letter is a new message, with ids made of its place in DEAD. Its row is deleted when that is stored:
where a host dies between the two, a second retry within the server's window is the same message. After the window it
would be another; until somebody tries, the letter stands in the list.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping
from datetime import datetime

import structlog
from pydantic import BaseModel, ValidationError

from actors.runtime.nats.answer import Found  # noqa: TC001  # types are imported like everything else
from actors.runtime.nats.epoch import read_epochs
from actors.runtime.nats.layout import DEAD, EVENT
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import Entry
from actors.runtime.nats.row import OBJECTS, Row, anew, borne, derive, line, read, row_key, show, want_way
from actors.runtime.ports import Post, Store
from protocol.address import Address, address
from protocol.dead import (
    DeadDropped,
    DeadLetter,
    DeadList,
    DeadRetried,
    DeadView,
    DropDead,
    ListDead,
    Resting,
    RetryDead,
    ShowDead,
)
from protocol.envelope import Envelope, letter, pack, unpack
from protocol.errors import Full, Refused, Unreachable
from protocol.message import Message
from protocol.node import Release

OFFICE = Address("dead", "main")
LIMIT = 100
"""Letters of one list, so that an answer stays small."""
PATIENCE = 3.0
"""Seconds for which a full mailbox is tried again."""
SUSPECTS = 100
"""Actors of which it is looked up whether they rest."""

log = structlog.get_logger()


class _Rest(BaseModel):
    """The part of a record that says whether its actor rests."""

    quarantine: str = ""


class Office:
    """Answers the questions and does the commands of an operator about dead letters."""

    def __init__(self, link: Link, post: Post, store: Store) -> None:
        """Work on the streams of this link."""
        self._link = link
        self._post = post
        self._store = store

    async def answer(self, to: Address, asked: Envelope, seen: int) -> Message:
        """Answer one question, or do one command; what is done twice is told to be gone."""
        del seen
        match asked.letters[0].open():
            case ListDead() as query:
                return await self._list(query)
            case ShowDead(seq=seq):
                return await self._show(seq)
            case RetryDead() as command:
                return await self._retry(command, asked)
            case DropDead(seq=seq):
                return await self._drop(seq, asked)
        raise Refused(f"{to} cannot be asked {asked.letters[0].name}")

    async def _list(self, query: ListDead) -> DeadList:
        subject, whom = _subject(query)
        letters: list[DeadLetter] = []
        start, limit = max(query.start, 1), min(max(query.limit, 1), LIMIT)
        entry = await fetch(self._link, subject, start)
        while entry and len(letters) < limit:
            row = read(entry)
            if whom is None or row.to == whom:
                letters.append(line(row))
            entry = await fetch(self._link, subject, entry.seq + 1)
        return DeadList(
            letters=tuple(letters),
            total=sum((await counts(self._link, DEAD, subject)).values()),
            next=entry.seq if entry else 0,
            resting=await resting(self._link, self._store),
        )

    async def _show(self, seq: int) -> DeadView:
        row = await self._get(seq)
        if row is None:
            raise Refused(f"the dead letter {seq} is gone: it was said once more or dropped, or it had grown too old")
        return show(row)

    async def _retry(self, command: RetryDead, asked: Envelope) -> DeadRetried:
        row = await self._get(command.seq)
        if row is None:
            return DeadRetried(seq=command.seq, gone=True)
        want_way(row)
        info = await self._link.api(f"STREAM.INFO.{DEAD}")
        epoch = read_epochs(info.section("config", "metadata")).of(row.seq)
        is_released = command.release and row.envelope is not None and bool(await rests(self._store, row.to))
        if is_released:
            # An envelope of its own: what a timer says is heard alone, and the ids of the letters stay as they are.
            going_on = letter(Release(), derive(epoch, row.seq, -1))
            await self._patiently(row, Envelope(OFFICE, (going_on,), person=asked.person))
        if row.envelope is None or row.to.kind == "work":
            await self._resend(row, epoch)
        else:
            await self._patiently(row, anew(row.envelope, epoch, row.seq))
        log.info("a dead letter is said once more", seq=row.seq, to=str(row.to), by=asked.person or str(asked.sender))
        await self._delete(row.seq)
        return DeadRetried(seq=row.seq, to=str(row.to), released=is_released)

    async def _drop(self, seq: int, asked: Envelope) -> DeadDropped:
        row = await self._get(seq)
        if row is None or not await self._delete(seq):
            return DeadDropped(seq=seq, gone=True)
        log.info("a dead letter is dropped", seq=seq, to=str(row.to), by=asked.person or str(asked.sender))
        return DeadDropped(seq=seq, to=str(row.to))

    async def _patiently(self, row: Row, envelope: Envelope) -> None:
        """Post an envelope to the receiver of a dead letter; a mailbox that is full is tried for a while."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE
        while True:
            try:
                await self._post.send(row.to, envelope)
            except Full as error:
                if loop.time() > until:
                    raise Full(
                        f"{row.to} has more to do than it can hold, so the dead letter {row.seq} stays where it is; "
                        "try again in a moment"
                    ) from error
                await asyncio.sleep(PATIENCE / 20)
            else:
                return

    async def _resend(self, row: Row, epoch: str) -> None:
        """Store a letter as it is: bytes that we cannot vouch for, or a command to a worker.

        A command keeps its id, since its asker listens to the result of that id alone.
        """
        to = row.to
        subject = f"car.work.{to.key}" if to.kind == "work" else to.subject(row.voice)
        await self._link.store(subject, row.entry.data, {**borne(row.entry), "Nats-Msg-Id": f"dead:{epoch}:{row.seq}"})

    async def _get(self, seq: int) -> Row | None:
        """Return a letter, or None where it is there no more; raise ``Refused`` where it has never been there."""
        if seq > 0 and (entry := await fetch(self._link, "car.dead.>", seq)) and entry.seq == seq:
            return read(entry)
        last = (await self._link.api(f"STREAM.INFO.{DEAD}")).number("state", "last_seq")
        if not 0 < seq <= last:
            raise Refused(f"there has never been a dead letter {seq}, type: car dead list")
        return None

    async def _delete(self, seq: int) -> bool:
        """Delete a letter; tell whether it was still there."""
        try:
            await self._link.api(f"STREAM.MSG.DELETE.{DEAD}", {"seq": seq, "no_erase": True})
        except Refused:
            if await self._get(seq):
                raise
            return False
        return True


async def instruct(link: Link, me: Address, command: RetryDead | DropDead, person: str) -> Message:
    """Have the office do something; raise ``Unreachable`` where no host answers."""
    headers, body = pack(Envelope(me, (letter(command, secrets.token_hex(8)),), person=person))
    answer = await link.ask(OFFICE.subject("ask"), body, headers)
    return unpack(answer.headers or {}, answer.data).letters[0].open()


async def rests(store: Store, who: Address) -> str:
    """Return why an actor rests, or nothing where it does not."""
    stored = await store.load(who)
    if stored is None or not stored.data:
        return ""
    try:
        return _Rest.model_validate_json(stored.data).quarantine
    except ValidationError:
        return ""


async def resting(link: Link, store: Store) -> tuple[Resting, ...]:
    """Return who rests, of those whose rest was told or whose letters are dead; their records say whether it is so."""
    told = await counts(link, EVENT, "car.event.*.*.Quarantined")
    dead = await counts(link, DEAD, "car.dead.*.*")
    tokens = dict.fromkeys(tuple(subject.split(".")[2:4]) for subject in (*told, *dead))
    suspects = [Address(kind, key) for kind, key in tokens if kind not in OBJECTS][:SUSPECTS]
    reasons = await asyncio.gather(*(rests(store, who) for who in suspects))
    return tuple(Resting(who=str(who), why=why) for who, why in zip(suspects, reasons, strict=True) if why)


async def counts(link: Link, stream: str, subjects: str) -> Mapping[str, int]:
    """Return how many messages a stream holds on each of these subjects."""
    found: Found = await link.api(f"STREAM.INFO.{stream}", {"subjects_filter": subjects})
    held = found.part("state", "subjects")
    return {name: count for name, count in held.items() if isinstance(count, int)} if isinstance(held, dict) else {}


async def fetch(link: Link, subject: str, start: int) -> Entry | None:
    """Return the first dead letter of a subject (wildcards are fine) from a sequence on."""
    body = json.dumps({"seq": start, "next_by_subj": subject}).encode()
    answer = await link.ask(f"$JS.API.DIRECT.GET.{DEAD}", body, {})
    headers = answer.headers or {}
    if headers.get("Status") == "404":
        return None
    if "Nats-Sequence" not in headers:
        raise Unreachable(f"NATS cannot read dead letters now: {headers.get('Description', 'it says nothing')}")
    return Entry(
        seq=int(headers["Nats-Sequence"]),
        subject=headers["Nats-Subject"],
        at=datetime.fromisoformat(headers["Nats-Time-Stamp"]),
        headers=headers,
        data=answer.data,
    )


def _subject(query: ListDead) -> tuple[str, Address | None]:
    """Return which rows are asked for, and the one receiver that is meant, if one is."""
    if query.to:
        whom = address(query.to)
        return f"car.dead.{whom.kind}.{row_key(whom)}", whom
    return (f"car.dead.{address(f'{query.kind}/x').kind}.*" if query.kind else "car.dead.>"), None
