"""The keys of a hub: a seed for each user that only its owner reads, and the old keys that are still let in.

A key is changed in two steps, so that nobody is cut off meanwhile: a new seed is made, and the server lets in both;
when everybody has begun anew with it, the old key is retired.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple

import nkeys

from actors.runtime.nats.users import USERS
from actors.runtime.place import Hub
from protocol.errors import Refused


class Key(NamedTuple):
    """The key of one user, and those before it that are still let in; public ones all of them."""

    name: str
    key: str
    old: tuple[str, ...]


def complete(hub: Hub) -> None:
    """Make the keys that are missing."""
    for user in USERS:
        seed = seed_of(hub, user.name)
        if not seed.exists():
            write(seed, _new())


def keys(hub: Hub) -> tuple[Key, ...]:
    """Return the key of every user that has one."""
    return tuple(_key(hub, user.name) for user in USERS if seed_of(hub, user.name).exists())


def renew(hub: Hub, name: str) -> Key:
    """Make a new key for a user; the old one stays valid beside it."""
    key = _key(hub, _known(name))
    # The old one first: whatever happens in between, whoever is let in now stays so.
    write(_old(hub, name), "".join(f"{one}\n" for one in (*key.old, key.key)).encode())
    write(seed_of(hub, name), _new())
    return _key(hub, name)


def retire(hub: Hub, name: str) -> tuple[str, ...]:
    """Let nobody in any more with the keys before the newest; return them."""
    old = _key(hub, _known(name)).old
    _old(hub, name).unlink(missing_ok=True)
    return old


def seed_of(hub: Hub, name: str) -> Path:
    """Return the file with the seed of a user."""
    return hub.nats / f"{name}.seed"


def write(path: Path, data: bytes) -> None:
    """Write a file that only we may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_bytes(data)
    draft.replace(path)


def _new() -> bytes:
    seed = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)  # type: ignore[no-untyped-call]
    return bytes(seed)


def _key(hub: Hub, name: str) -> Key:
    seed, old = seed_of(hub, name), _old(hub, name)
    try:
        pair = nkeys.from_seed(seed.read_bytes().strip())  # type: ignore[no-untyped-call]
    except (OSError, ValueError, nkeys.NkeysError) as error:
        raise Refused(f"{seed} holds no key; remove it, and a new one is made at the next: car up") from error
    key = str(pair.public_key.decode())
    before = old.read_text().split() if old.exists() else []
    return Key(name, key, tuple(one for one in dict.fromkeys(before) if one != key))


def _old(hub: Hub, name: str) -> Path:
    return hub.nats / f"{name}.old"


def _known(name: str) -> str:
    names = tuple(user.name for user in USERS)
    if name not in names:
        raise Refused(f"nobody is called {name!r} here; there are {', '.join(names)}")
    return name
