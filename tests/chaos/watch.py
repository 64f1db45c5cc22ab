"""Watches every write of a record that the server accepted: it republishes each after it has stored it.

So a write over a newer one is seen at the moment in which it happens, whatever is written after it. Those that it
stores just before it is killed are not seen; each says over which it was written, so that such a hole is known.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import NamedTuple

from nats.aio.msg import Msg

from actors.runtime.nats.layout import STATE
from actors.runtime.nats.link import Link
from tests.chaos.history import Finding, History, Log

SUBJECT = "chaos.state"


class Write(NamedTuple):
    """One accepted write: over which mail, after how many steps, by whom."""

    revision: int
    last: int
    turn: int
    by: str
    stopped: bool


@dataclass
class Watch:
    """Compares each write with the one before, and tells those who wait for one."""

    history: History
    log: Log
    writes: int = 0
    holes: int = 0
    _newest: dict[str, Write] = field(default_factory=dict)
    _awaited: dict[tuple[str, str], tuple[int, "asyncio.Future[str]"]] = field(default_factory=dict)
    _wrong: set[str] = field(default_factory=set)

    async def begin(self, link: Link) -> None:
        """Let the server republish, and listen."""
        config = (await link.api(f"STREAM.INFO.{STATE}")).section("config")
        anew = {"src": "$KV.STATE.>", "dest": f"{SUBJECT}.>"}
        await link.api(f"STREAM.UPDATE.{STATE}", {**config, "republish": anew})
        await link.client.subscribe(f"{SUBJECT}.>", cb=self._heard)
        await link.client.flush()

    def effect(self, actor: str, by: str, n: int) -> "asyncio.Future[str]":
        """Return what becomes the name of the host that wrote the effect of a message."""
        waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._awaited[(actor, by)] = (n, waiting)
        return waiting

    async def _heard(self, msg: Msg) -> None:
        if msg.data:
            self.see(msg.subject.removeprefix(f"{SUBJECT}.").replace(".", "/", 1), msg.headers or {}, msg.data)

    def see(self, actor: str, headers: dict[str, str], data: bytes) -> None:
        """Take in one write."""
        record = json.loads(data)
        being = record["state"].get("being", record["state"])
        write = Write(int(headers["Nats-Sequence"]), record["last"], being["turn"], being["by"], record["stopped"])
        self.writes += 1
        self.log.note("write", actor, **write._asdict())
        before = self._newest.get(actor)
        if before:
            unseen = before.revision != int(headers["Nats-Last-Sequence"])
            self.holes += unseen
            self._compare(actor, before, write, unseen=unseen)
        self._newest[actor] = write
        for text in being["wrong"]:
            self._blame(actor, text)
        for by, tally in being["heard"].items():
            n, waiting = self._awaited.get((actor, by), (0, None))
            if waiting and not waiting.done() and tally["last"] >= n:
                waiting.set_result(being["by"])

    def _compare(self, actor: str, before: Write, now: Write, *, unseen: bool) -> None:
        # Only a child leaves, and is born anew with its first step: its end may be among what was not seen.
        born_anew = (before.stopped and not now.stopped) or (unseen and actor.startswith("child/"))
        if now.last < before.last or (not born_anew and (now.last, now.turn) <= (before.last, before.turn)):
            text = f"{now} was accepted over {before}"
        elif not born_anew and now.turn < before.turn:
            text = f"{now} goes on from before {before}"
        else:
            return
        self.history.found.append(Finding("fenced", actor, text))

    def _blame(self, actor: str, text: str) -> None:
        if f"{actor} {text}" not in self._wrong:
            self._wrong.add(f"{actor} {text}")
            self.history.found.append(Finding(text.partition(":")[0], actor, text.partition(": ")[2]))
