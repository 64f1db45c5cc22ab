"""One run of the chaos: start everything, load it, break it, heal it, let it come to rest, and judge."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from actors.runtime.nats.layout import furnish
from actors.runtime.nats.link import Link, Login, connect
from actors.runtime.nats.ports import NatsPost
from tests.chaos.check import check, heard_in_all
from tests.chaos.collect import collect, lateness, rest
from tests.chaos.crew import Crew
from tests.chaos.echo import Echo
from tests.chaos.faults import Faults
from tests.chaos.history import Finding, History, Log
from tests.chaos.load import SLOW, WATCHED, Load
from tests.chaos.plan import plan
from tests.chaos.takeover import Takeovers
from tests.chaos.teller import Teller
from tests.chaos.watch import Watch
from tests.server import Server

REST = 75.0
"""Seconds within which everything must have come to rest after the last fault."""


@dataclass(frozen=True)
class Asked:
    """What is to be done."""

    seconds: float
    seed: int
    hosts: int
    sabotage: str = ""


@dataclass
class Outcome:
    """What came of it."""

    asked: Asked
    folder: Path
    history: History
    log: Log
    seconds: float = 0.0
    found: list[Finding] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    tracebacks: Counter[str] = field(default_factory=Counter)
    takeovers: "Takeovers | None" = None
    late_ms: list[int] = field(default_factory=list)


async def run(asked: Asked, folder: Path) -> Outcome:
    """Run, and return what came of it; whatever was started has ended then, also where this is cancelled."""
    log = Log(folder / "history.jsonl")
    outcome = Outcome(asked, folder, History(watchers=WATCHED), log)
    (folder / "server").mkdir()
    server = Server(folder / "server")
    crew = Crew(folder, server, log)
    began = time.monotonic()
    try:
        server.start()
        link = await connect(Login(server.url, "chaos"))
        try:
            await _play(outcome, crew, link)
        finally:
            await link.close()
    finally:
        await crew.end()
        log.close()
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


async def _play(outcome: Outcome, crew: Crew, link: Link) -> None:
    asked, history, log = outcome.asked, outcome.history, outcome.log
    await furnish(link)
    teller = Teller(NatsPost(link), history, log)
    watch, load, echo = Watch(history, log), Load(teller, asked.seed), Echo(log, link)
    takeovers = Takeovers(teller, watch, log)
    faults = Faults(crew, link, load, takeovers, echo, log, Random(asked.seed))
    await watch.begin(link)
    await echo.begin()
    await load.watch()
    await crew.begin(asked.hosts, asked.sabotage)
    loading = asyncio.create_task(load.run())
    going = [loading, asyncio.create_task(crew.keep())]
    try:
        await _break(faults, asked)
        load.ending = True
        await faults.heal()
        await loading
        going.append(asyncio.create_task(_look(faults)))
        history.left = await rest(link, REST, log)
        await collect(link, history)
    finally:
        for task in going:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*going, return_exceptions=True)
    outcome.found = check(history)
    outcome.takeovers, outcome.late_ms = takeovers, lateness(history)
    outcome.tracebacks = crew.tracebacks
    outcome.counts = {
        **faults.count,
        "cuts": faults.count["cuts"],
        "accepted": teller.accepted,
        "refused": teller.refused,
        "told_again": teller.again,
        "messages": heard_in_all(history),
        "writes_seen": watch.writes,
        "writes_unseen": watch.holes,
        "died": crew.died,
        "given_up": sum(len(being.given_up) for being in history.beings.values()),
        "writes_refused": crew.refused,
        "tracebacks": outcome.tracebacks.total(),
    }


async def _look(faults: Faults) -> None:
    """Look at every card from now on, so that nobody is slow any more."""
    while True:
        for slow in SLOW:
            await faults.look(slow.key)
        await asyncio.sleep(0.2)


async def _break(faults: Faults, asked: Asked) -> None:
    """Do one fault after another until the time is over."""
    loop = asyncio.get_running_loop()
    until = loop.time() + asked.seconds
    await asyncio.sleep(min(3.0, asked.seconds / 6))
    for kind in plan(faults.rng, asked.seconds):
        if loop.time() > until:
            return
        await faults.do(kind)
        await asyncio.sleep(faults.rng.uniform(0.2, 1.6) * min(1.0, asked.seconds / 60))
