"""Who is spoken to: a kind of actor and its key, and the NATS subject that follows from them."""

import re
from functools import lru_cache
from typing import NamedTuple

from protocol.errors import Unreadable

_KIND = re.compile(r"[a-z][a-z_]*")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(rb"[A-Za-z0-9-]")
_ESCAPE = re.compile(r"_([0-9a-f]{2})")


class Address(NamedTuple):
    """The name of one actor, worker, process or room.

    ``key`` is made of tokens ``[A-Za-z0-9_-]+``; only the kinds ``work`` and ``out`` have several, with dots between.
    """

    kind: str
    key: str

    def __str__(self) -> str:
        """Show the address as people type it: ``repo/shop``."""
        return f"{self.kind}/{self.key}"

    def subject(self, object_: str) -> str:
        """Return the subject of this address in one object: ``car.mail.repo.shop``."""
        return f"car.{object_}.{self.kind}.{self.key}"


@lru_cache(4096)
def address(text: str) -> Address:
    """Read ``kind/key``; raise ``Unreadable`` where it is none."""
    kind, slash, key = text.partition("/")
    if not slash or not _KIND.fullmatch(kind) or not all(map(_TOKEN.fullmatch, key.split("."))):
        raise Unreadable(f"{text!r} is no address; one looks like repo/shop")
    return Address(kind, key)


def token(text: str) -> str:
    """Turn any text into one token: every byte outside ``[A-Za-z0-9-]`` becomes ``_`` and two hex digits."""
    return "".join(chr(byte) if _PLAIN.match(bytes((byte,))) else f"_{byte:02x}" for byte in text.encode()) or "_"


def untoken(text: str) -> str:
    """Return what ``token`` was given; raise ``Unreadable`` where it has made no such token."""
    if text == "_":
        return ""
    spelled = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    try:
        return spelled.encode("latin-1").decode()
    except UnicodeError as error:
        raise Unreadable(f"{text!r} is no token: {error}") from error


def worker(node: str, name: str, key: str) -> Address:
    """Return the address of one worker on one machine; commands with the same ``key`` are done in order."""
    return Address("work", f"{token(node)}.{token(name)}.{token(key)}")


def room(bridge: str, name: str) -> Address:
    """Return the actor of a chat room."""
    return Address(f"chat_{bridge}", token(name))


def out(room_: Address) -> Address:
    """Return where the cards of a chat room go."""
    return Address("out", f"{room_.kind.removeprefix('chat_')}.{room_.key}")
