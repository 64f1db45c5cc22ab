"""Records as they were stored, in files: ``python -m tests.runtime.store`` adds what is missing, and changes none.

They are what the program of their version wrote. Whoever makes a new version of a kind lets this write records of it,
and keeps those of the versions before: they lie in the stores of people.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from actors.host import CAST
from actors.runtime.actor import Actor
from protocol.address import Address
from protocol.node import Watch
from tests.actors.plays import PLAYS
from tests.runtime.purse import ONE, Put, PutLater
from tests.runtime.wallet import THREE, TWO, Note
from tests.stage import Stage

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

FOLDER = Path(__file__).parent / "stored"
MOST = 12
"""Records of one kind that are kept."""


def names() -> dict[str, Actor[object]]:
    """Return who reads the files that begin with a name: the newest version of its kind."""
    return {kind.removesuffix("_*"): actor for kind, actor in CAST.items()} | {"purse": THREE}


def leaves(value: Json, where: str = "") -> Iterator[tuple[str, Json]]:
    """Yield all that stands in a value, and where."""
    match value:
        case dict() if value:
            for name, one in value.items():
                yield from leaves(one, f"{where}.{name}")
        case list() if value:
            for number, one in enumerate(value):
                yield from leaves(one, f"{where}.{number}")
        case _:
            yield where, value


def _purses() -> Iterator[bytes]:
    for actor in (ONE, TWO, THREE):
        stage = Stage(cast={"purse": actor})
        stage.say("purse/a", Watch(watcher=Address("purse", "b")))
        stage.say("purse/a", Put(coins=3, then=Address("purse", "c")))
        stage.say("purse/a", PutLater(coins=4, seconds=60))
        if actor is not ONE:
            stage.say("purse/a", Note(text="for the journey"))
        for _ in range(actor.budget.failures):
            stage.say("purse/b", Put(coins=-1))
        yield from (data for _, data in stage.back.history)


def _plays() -> Iterator[tuple[str, bytes]]:
    for play in PLAYS:
        stage = Stage()
        play(stage)
        yield from ((me.kind.partition("_")[0], data) for me, data in stage.back.history)


def _sorts(data: bytes) -> frozenset[str]:
    """Return the places that are filled in a record, however many of a kind stand there."""
    filled = ((where, value) for where, value in leaves(json.loads(data)) if value not in ("", 0, [], {}, None, False))
    return frozenset(".".join(part for part in where.split(".") if not part.isdigit()) for where, _ in filled)


def choose(records: Iterable[bytes]) -> list[bytes]:
    """Return a few records in which everything stands that stands in any: always the one that has the most to add."""
    sorts = {data: _sorts(data) for data in records}
    chosen: list[bytes] = []
    seen: frozenset[str] = frozenset()
    while sorts and len(chosen) < MOST:
        best = max(sorts, key=lambda data: (len(sorts[data] - seen), -len(data)))
        if sorts[best] <= seen:
            break
        seen |= sorts.pop(best)
        chosen.append(best)
    return chosen


def write() -> None:
    """Store records of each kind in its version of today, unless there are some."""
    found: dict[str, list[bytes]] = {}
    for name, data in (*_plays(), *(("purse", data) for data in _purses())):
        found.setdefault(f"{name}.{json.loads(data)['version']}", []).append(data)
    FOLDER.mkdir(exist_ok=True)
    for name, records in found.items():
        if not list(FOLDER.glob(f"{name}.*.json")):
            for number, data in enumerate(choose(records), 1):
                (FOLDER / f"{name}.{number}.json").write_bytes(data)


if __name__ == "__main__":
    write()
