"""How a record is written as bytes and read again, also by hosts of another version.

A record says in which version it is. One of a former version is read as that version wrote it and brought up, step by
step; one is written in the version that every host alive can read. Where that version has no words for it, it is
written in the lowest that has: an older host that finds it leaves its mailbox to a newer one, so nothing is lost and
nobody waits for long, while a mail that was put aside would have to be looked after by a person.
"""

from typing import TypeVar, cast

import structlog
from pydantic import BaseModel, ValidationError

from actors.runtime.actor import Actor, NoWayDown
from actors.runtime.record import RECORD_LIMIT, Record
from protocol.errors import CarError, Unreadable

S = TypeVar("S")
_MARK = 130
"""Bytes of a record that a mark takes, more or less."""
T = TypeVar("T")

log = structlog.get_logger()

_shapes: dict[type, type[BaseModel]] = {}


class StepFailed(CarError):
    """The step asked for more than an actor may have. Nothing of it is written."""


class Newer(Unreadable):
    """Something was written by a newer version of CAR: a host of that version can read it."""


def shape(state: type[S]) -> type[Record[S]]:
    """Return the class of the records of a state. Pydantic keeps them too, but takes its time to find one again."""
    if state not in _shapes:
        _shapes[state] = Record[state]  # type: ignore[valid-type]  # the type of each is known only where it is asked
    return cast("type[Record[S]]", _shapes[state])


class _Version(BaseModel):
    """Of a record only this: which version wrote it."""

    version: int


def decode(actor: Actor[S], data: bytes) -> Record[S]:
    """Read a stored record; raise ``Newer`` where a newer version wrote it, ``Unreadable`` where it is none."""
    try:
        version = _Version.model_validate_json(data).version
        if version > actor.version:
            raise Newer(f"the record of this {actor.kind} is of version {version}; upgrade this host")
        if version == actor.version:
            return shape(actor.state).model_validate_json(data)
        return _risen(actor, data, actor.version - version)
    except ValidationError as error:
        raise Unreadable(f"the record of this {actor.kind} cannot be read: {error}") from error


def _risen(actor: Actor[S], data: bytes, back: int) -> Record[S]:
    def read(kind: type[T], /) -> T:
        return shape(kind).model_validate_json(data).state

    version = actor.version - back
    what = f"the record of this {actor.kind} is of version {version}, and this CAR is of version {actor.version}"
    if actor.former is None:
        raise Unreadable(f"{what}, which knows none before; upgrade by way of the versions between")
    try:
        state = actor.former.up(back, read)
    except Unreadable as error:
        raise Unreadable(f"{what}: {error}; upgrade by way of the versions between") from error
    except ValidationError:
        raise
    except Exception as error:  # the wall around a bug in a way up: the record stays as it is, and its mail waits
        raise Unreadable(f"{what}: it cannot be brought up: {type(error).__name__}: {error}") from error
    return _carried(shape(object).model_validate_json(data), actor.state, state, actor.version)


class _Waiting(BaseModel):
    """Of a record only this: which commands its actor awaits an answer to."""

    open: frozenset[str] = frozenset()


def awaited(data: bytes) -> frozenset[str]:
    """Return the ids of the commands that the actor of a stored record waits for; raise ``Unreadable``."""
    try:
        return _Waiting.model_validate_json(data).open
    except ValidationError as error:
        raise Unreadable(f"this is no record: {error}") from error


def encode(actor: Actor[S], record: Record[S], version: int, limit: float = RECORD_LIMIT) -> bytes:
    """Write a record as ``version`` writes it, or as the lowest one above that can say all that is in it.

    Raise ``StepFailed`` where it has grown too large.
    """
    data = (
        _sunk(actor, record, version) if version < actor.version else record.model_dump_json(warnings="error").encode()
    )
    # The bound is for what an actor makes, and not for whom it has heard: that it cannot help.
    if (size := len(data) - _MARK * len(record.marks)) > limit:
        raise StepFailed(f"the record would have {size} bytes, {limit} are allowed")
    return data


def _sunk(actor: Actor[S], record: Record[S], lowest: int) -> bytes:
    for version in range(max(lowest, 1), actor.version):
        try:
            return _as(actor, record, version)
        except NoWayDown as error:
            log.debug("written as a newer version", kind=actor.kind, asked=version, why=str(error))
        except Exception:  # the wall around a bug in a way down: as it is, the state can always be written
            log.exception("no way down", kind=actor.kind, asked=version)
    return record.model_dump_json(warnings="error").encode()


def _as(actor: Actor[S], record: Record[S], version: int) -> bytes:
    def write(kind: type[T], state: T, /) -> bytes:
        return _carried(record, kind, state, version).model_dump_json(warnings="error").encode()

    if actor.former is None:
        raise NoWayDown(f"no version of {actor.kind} before {actor.version} is known")
    return actor.former.down(record.state, actor.version - version, write)


def _carried(record: Record[S], kind: type[T], state: T, version: int) -> Record[T]:
    """Return a record like this one, with a state of another class."""
    return shape(kind).model_validate({**dict(record), "state": state, "version": version})
