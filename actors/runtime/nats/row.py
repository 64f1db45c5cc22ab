"""A dead letter as the stream DEAD keeps it: how it is read, shown, and made a new message.

It is a row under ``car.dead.<kind>.<key>``: the headers and the body of its envelope, ``Car-Why``, and ``Car-To``, the
exact address of its receiver. One with ``Car-Voice`` was put aside as it came, since nobody could read or believe it.
It goes out only as it is and in that voice, so that nobody becomes more trusted by way of an operator. What was for a
worker has no voice: only hosts say it.
"""

import hashlib
import json
import re
from dataclasses import replace
from typing import NamedTuple

from actors.runtime.nats.log import Entry
from protocol.address import Address, address
from protocol.dead import DeadBody, DeadLetter, DeadView
from protocol.envelope import Envelope, unpack
from protocol.errors import Refused, Unreadable
from protocol.message import known
from protocol.work import Work

OBJECTS = ("work", "out", "proc")
"""Kinds of receivers that are no actors."""
NAMES = 8
"""Messages of one letter that a list names."""
ROOM = 90_000
"""Characters of bodies in one answer."""
_OWN = ("car-why", "car-to", "car-voice")
_VOICE = re.compile(r"mail|said_[a-z]+")


class Row(NamedTuple):
    """A row of DEAD, read: ``envelope`` is None and ``voice`` is set where it goes out only as it came."""

    entry: Entry
    to: Address
    envelope: Envelope | None
    voice: str

    @property
    def seq(self) -> int:
        """Return its place in DEAD."""
        return self.entry.seq


def row_key(to: Address) -> str:
    """Return the token under which the dead letters of a receiver lie."""
    return to.key.replace(".", "-")


def read(entry: Entry) -> Row:
    """Read a row. Its receiver is believed as far as the subject says the same: that is bounded by its writer's key."""
    _, _, kind, key = entry.subject.split(".", 3)
    to, voice = Address(kind, key), entry.headers.get("Car-Voice", "")
    try:
        exact = address(entry.headers.get("Car-To", ""))
    except Unreadable:
        exact = to
    if (exact.kind, row_key(exact)) == (kind, key):
        to = exact
    try:
        envelope = None if voice and to.kind != "work" else unpack(entry.headers, entry.data)
    except Unreadable:
        envelope = None
    return Row(entry, to, envelope, voice if _VOICE.fullmatch(voice) else "mail")


def want_way(row: Row) -> None:
    """Raise ``Refused`` where it is not known where a letter was going, or where it would be said to nobody."""
    why = ""
    if row.to.kind == "proc":
        why = "it was for a process that has gone on without it"
    elif row.to.kind in OBJECTS and "." not in row.to.key:
        why = "where it was going was not kept with it"
    elif row.to.kind == "work" and not _is_work(row.envelope):
        why = "it is no command that a worker could do"
    if why:
        raise Refused(f"the dead letter {row.seq} cannot be said once more: {why}; type: car dead drop {row.seq}")


def _is_work(envelope: Envelope | None) -> bool:
    try:
        return envelope is not None and all(issubclass(known(one.name), Work) for one in envelope.letters)
    except Unreadable:
        return False


def anew(envelope: Envelope, epoch: str, seq: int) -> Envelope:
    """Return an envelope as a new message: other ids, no mark, nobody waiting for an answer."""
    letters = tuple(replace(one, id=derive(epoch, seq, index)) for index, one in enumerate(envelope.letters))
    return Envelope(envelope.sender, letters, cause=envelope.cause, person=envelope.person, fire=envelope.fire)


def derive(epoch: str, seq: int, index: int) -> str:
    """Return an id made of the place of a letter in DEAD, so that a retry that comes twice is one."""
    return hashlib.sha256(f"dead:{epoch}:{seq}:{index}".encode()).hexdigest()[:16]


def borne(entry: Entry) -> dict[str, str]:
    """Return the headers that a letter had when it came."""
    return {
        name: value
        for name, value in entry.headers.items()
        if name.lower() not in _OWN and not name.lower().startswith("nats-")
    }


def line(row: Row) -> DeadLetter:
    """Return what a list says of a letter."""
    envelope = row.envelope
    return DeadLetter(
        seq=row.seq,
        at=row.entry.at,
        to=str(row.to),
        why=row.entry.headers.get("Car-Why", "")[:500],
        size=len(row.entry.data),
        sender=str(envelope.sender) if envelope else row.voice,
        names=tuple(one.name[:80] for one in envelope.letters[:NAMES]) if envelope else (),
        raw=envelope is None,
    )


def show(row: Row) -> DeadView:
    """Return all that stands in a letter, as far as an answer can hold it."""
    envelope, room = row.envelope, ROOM
    if envelope is None:
        raw = row.entry.data.decode(errors="backslashreplace")
        headers = tuple(f"{name}: {value}"[:200] for name, value in borne(row.entry).items())[:50]
        return DeadView(letter=line(row), headers=headers, raw=raw[:room], cut=max(len(raw) - room, 0))
    bodies: list[DeadBody] = []
    for one in envelope.letters:
        text = json.dumps(json.loads(one.body), indent=2, ensure_ascii=False)
        cut = max(len(text) - room, 0)
        bodies.append(DeadBody(id=one.id, name=one.name, text=text[:room], re=one.re, cut=cut))
        room -= len(text) - cut
    return DeadView(letter=line(row), person=envelope.person, cause=envelope.cause, bodies=tuple(bodies))
