"""How messages travel: several to one receiver in one envelope, the facts of routing beside the bodies.

An envelope becomes headers and one body, so that whoever routes never parses a body. The body is a JSON array, one
element for each message, in the order in which they were said.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import ValidationError

from protocol.address import Address, address, token, untoken
from protocol.errors import Unreadable
from protocol.message import Message, known

WIRE = "1"


class Mark(NamedTuple):
    """Which write of the sender's record sent this: the receiver takes each only once."""

    epoch: str
    revision: int


class Fire(NamedTuple):
    """Which setting of a timer has fired."""

    timer: str
    generation: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, packed: its id, its wire name, its JSON, and the id of what it answers (or nothing)."""

    id: str
    name: str
    body: str
    re: str = ""

    def open(self) -> Message:
        """Return the message; raise ``Unreadable`` where the letter holds none."""
        try:
            return known(self.name).model_validate_json(self.body)
        except ValidationError as error:
            raise Unreadable(f"{self.name} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is handed to the post. ``inbox`` is where an answer is awaited that nobody needs to keep."""

    sender: Address
    letters: tuple[Letter, ...]
    cause: str = ""
    person: str = ""
    inbox: str = ""
    mark: Mark | None = None
    fire: Fire | None = None

    @property
    def id(self) -> str:
        """Name the envelope by its first letter."""
        return self.letters[0].id


def letter(message: Message, id_: str, re: str = "") -> Letter:
    """Pack a message."""
    return Letter(id_, message.name, message.model_dump_json(), re)


def pack(envelope: Envelope) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of an envelope."""
    headers = {
        "Car-Wire": WIRE,
        "Car-Sender": str(envelope.sender),
        "Car-Id": ",".join(one.id for one in envelope.letters),
        "Car-Name": ",".join(one.name for one in envelope.letters),
    }
    if any(one.re for one in envelope.letters):
        headers["Car-Re"] = ",".join(one.re for one in envelope.letters)
    if envelope.cause:
        headers["Car-Cause"] = envelope.cause
    if envelope.person:
        headers["Car-Person"] = envelope.person
    if envelope.inbox:
        headers["Car-Inbox"] = envelope.inbox
    if envelope.mark:
        headers["Car-Mark"] = f"{envelope.mark.epoch}:{envelope.mark.revision}"
    if envelope.fire:
        headers["Car-Fire"] = f"{token(envelope.fire.timer)}:{envelope.fire.generation}"
    return headers, f"[{','.join(one.body for one in envelope.letters)}]".encode()


def unpack(headers: Mapping[str, str], body: bytes) -> Envelope:
    """Return the envelope that ``pack`` was given; raise ``Unreadable`` for anything else."""
    try:
        ids, named = headers["Car-Id"].split(","), headers["Car-Name"].split(",")
        answers = headers["Car-Re"].split(",") if "Car-Re" in headers else [""] * len(ids)
        letters = tuple(
            Letter(id_, name, part, re)
            for id_, name, part, re in zip(ids, named, _parts(body, len(ids)), answers, strict=True)
        )
        return Envelope(
            sender=address(headers["Car-Sender"]),
            letters=letters,
            cause=headers.get("Car-Cause", ""),
            person=headers.get("Car-Person", ""),
            inbox=headers.get("Car-Inbox", ""),
            mark=_mark(headers.get("Car-Mark", "")),
            fire=_fire(headers.get("Car-Fire", "")),
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"these bytes are no envelope: {error}") from error


def _parts(body: bytes, count: int) -> list[str]:
    """Return the bodies in an array. A single one is not looked into: whoever opens the letter does, and says so."""
    if count == 1 and body[:1] == b"[" and body[-1:] == b"]":
        return [body[1:-1].decode()]
    bodies = json.loads(body)
    json.dumps(bodies, ensure_ascii=False).encode()  # half of a pair of surrogates could not be written again
    return [json.dumps(part, ensure_ascii=False) for part in bodies]


def _mark(text: str) -> Mark | None:
    epoch, colon, revision = text.rpartition(":")
    return Mark(epoch, int(revision)) if colon else None


def _fire(text: str) -> Fire | None:
    timer, colon, generation = text.rpartition(":")
    return Fire(untoken(timer), int(generation)) if colon else None
