"""Waits until everything has come to rest, and reads what is kept then: records, facts, dead letters."""

import asyncio
import json

from actors.runtime.nats.layout import DEAD, EVENT, MAIL, STATE, TIMER, WORK
from actors.runtime.nats.link import Link
from actors.runtime.nats.log import read_all
from actors.runtime.shape import decode
from protocol.address import Address
from protocol.envelope import unpack
from protocol.errors import CarError
from tests.chaos.cast import NEW, Grown, cast
from tests.chaos.history import Dead, Fact, History, Log
from tests.chaos.load import ACCOUNTS

STILL = 1.5
"""Seconds for which nothing must lie in any queue, so that it is at rest."""


async def rest(link: Link, seconds: float, log: Log) -> dict[str, int]:
    """Wait until nothing is left to be done, at most so long; return what is left in each queue."""
    loop = asyncio.get_running_loop()
    until, still = loop.time() + seconds, 0.0
    before: dict[str, int] = {}
    while True:
        try:
            left = {name: await _depth(link, name) for name in (MAIL, WORK, TIMER)}
        except CarError:
            left = {"the server": 1}
        if left != before:
            log.note("left", **left)
        now, before = loop.time(), left
        still = still or now if not any(left.values()) else 0.0
        if now > until or (still and now - still > STILL):
            return left
        await asyncio.sleep(0.2)


async def _depth(link: Link, stream: str) -> int:
    return (await link.api(f"STREAM.INFO.{stream}")).number("state", "messages")


async def collect(link: Link, history: History) -> None:
    """Read all that is kept into the history."""
    history.accounts = len(ACCOUNTS)
    players = cast("", NEW)
    for entry in await read_all(link, STATE, "$KV.STATE.>"):
        me = Address(*entry.subject.removeprefix("$KV.STATE.").split(".", 1))
        if entry.data and me.kind in players:
            state = decode(players[me.kind], entry.data).state
            history.beings[str(me)] = state.being if isinstance(state, Grown) else state
    for entry in await read_all(link, EVENT, "car.event.>"):
        _, _, kind, key, name = entry.subject.split(".")
        history.facts[f"{kind}/{key}"].append(Fact(name, json.loads(entry.data)[0]))
    for entry in await read_all(link, DEAD, "car.dead.>"):
        headers = entry.headers
        try:
            id_ = unpack(headers, entry.data).id
        except CarError as error:
            id_ = str(error)
        history.dead.append(Dead(headers.get("Car-To", ""), id_, headers.get("Car-Why", "")))


def lateness(history: History) -> list[int]:
    """Return how many milliseconds late timers were, of the newest of each clock."""
    return sorted(late for being in history.beings.values() for late in being.late_ms)
