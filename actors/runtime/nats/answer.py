"""What the server answers, read: a message that it has stored or not, and the JSON of its API."""

import json
from collections.abc import Mapping
from typing import NamedTuple, cast

from nats.aio.msg import Msg

from actors.runtime.ports import Conflict
from protocol.errors import Full, Refused, Unreachable, Unsent

_WRONG_LAST, _PER_SUBJECT = (10071, 10164), (10077,)
_UNABLE = 500
_TOO_LARGE = 10054
MISSING = (10059, 10014, 10037)

Json = dict[str, object]


class Ack(NamedTuple):
    """The server has stored a message."""

    seq: int
    duplicate: bool


class Kept(NamedTuple):
    """A message as a stream keeps it."""

    seq: int
    headers: Mapping[str, str]
    data: bytes


class Found:
    """A JSON answer of the server, read by names."""

    def __init__(self, body: Json) -> None:
        """Hold the answer."""
        self.body = body

    def part(self, *names: str) -> object:
        """Return what lies below these names, or None."""
        value: object = self.body
        for name in names:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def section(self, *names: str) -> Json:
        """Return the object below these names, or an empty one."""
        value = self.part(*names)
        return cast("Json", value) if isinstance(value, dict) else {}

    def sections(self, *names: str) -> list["Found"]:
        """Return the objects of the list below these names."""
        value = self.part(*names)
        return [Found(one) for one in value if isinstance(one, dict)] if isinstance(value, list) else []

    def text(self, *names: str) -> str:
        """Return the text below these names, or nothing."""
        value = self.part(*names)
        return value if isinstance(value, str) else ""

    def number(self, *names: str) -> int:
        """Return the number below these names, or 0."""
        value = self.part(*names)
        return value if isinstance(value, int) else 0


def read_answer(answer: Msg) -> Found:
    """Read an answer of the server's API."""
    return Found(cast("Json", json.loads(answer.data)))


def stored(subject: str, answer: Msg) -> Ack:
    """Read what the server says of a message to be stored; raise ``Full``, ``Conflict``, ``Refused`` or ``Unsent``."""
    found = read_answer(answer)
    code, why = found.number("error", "err_code"), found.text("error", "description")
    if code in _WRONG_LAST:
        raise Conflict(f"{subject}: {why}")
    if code in _PER_SUBJECT:
        raise Full(f"{subject} holds as many messages as it may")
    if code == _TOO_LARGE:
        raise Refused(f"a message on {subject} is larger than it may be: {why}")
    if found.part("error"):
        raise Unsent(f"NATS did not store a message on {subject}: {why}")
    return Ack(found.number("seq"), bool(found.part("duplicate")))


def refusal(subject: str, found: Found) -> Refused | Unreachable:
    """Return what an error of the server means: what it cannot do now (a full disk) may be tried again."""
    why = found.text("error", "description")
    if found.number("error", "code") >= _UNABLE:
        return Unreachable(f"NATS cannot do {subject} now: {why}")
    return Refused(f"NATS refuses {subject}: {why}")
