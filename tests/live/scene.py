"""What the tests that pull the plug look at: the log of one agent process, and how a run ends."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Self

from actors.runtime.nats.layout import PROC
from actors.runtime.nats.link import connect
from actors.runtime.nats.log import follow
from actors.runtime.nats.server import login
from actors.runtime.place import Hub
from bridges.bridge import Door
from protocol.address import Address
from protocol.errors import Unreachable
from protocol.flow import DescribeRun, RunView
from protocol.hub import AddRepo
from protocol.repo import DescribeRepo, FlowAccepted, StartFlow
from protocol.session import DescribeSession, Place, SessionView
from tests.server import until
from tests.world import HUB

ENDS = ("completed", "paused", "stopped", "refused")


@dataclass
class Log:
    """Everything that PROC has held, collected as it came, since it may be purged later."""

    hub: Hub
    out: dict[str, list[str]] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    async def __aenter__(self) -> Self:
        self.link = await connect(login(self.hub, "host"), wait=20)
        self.task = asyncio.create_task(self._collect())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        await self.link.close()

    async def _collect(self) -> None:
        async for entry in follow(self.link, PROC, "car.proc.*.*"):
            _, _, proc, stream = entry.subject.split(".")
            lines = entry.data.decode().split("\n")
            first, last = int(entry.headers["Car-First"]), int(entry.headers["Car-Last"])
            if stream == "out":
                held = self.out.setdefault(proc, [])
                if first != len(held) + 1 or last != len(held) + len(lines):
                    self.faults.append(f"{proc}: lines {first}..{last} come after line {len(held)}")
                held += lines
            elif stream == "in":
                self.told.setdefault(proc, []).extend(lines)

    def count(self) -> int:
        """Count the lines of stdout of all processes."""
        return sum(map(len, self.out.values()))

    async def reaches(self, line: int, seconds: float = 60) -> None:
        await until(lambda: self.count() >= line, seconds)

    def prompts(self) -> int:
        """Count the prompts that agents were given."""
        lines = [json.loads(line) for told in self.told.values() for line in told]
        return sum(line.get("method") in ("session/prompt", "turn/start") for line in lines)


async def begin(hub: Hub, door: Door, path, agent: str = "") -> Address:
    """Start a run in a checkout; return its address."""
    await door.command(HUB, AddRepo(place=Place(node=hub.node, path=str(path))), "cli:ann")
    accepted = await door.command(Address("repo", path.name), StartFlow(agent=agent), "cli:ann")
    assert isinstance(accepted, FlowAccepted)
    assert accepted.fresh
    return Address("run", accepted.run)


async def look(door: Door, run: Address) -> RunView:
    view = await patiently(door, run, DescribeRun())
    assert isinstance(view, RunView)
    return view


async def patiently(door: Door, whom: Address, query, seconds: float = 20):
    """Ask until a host answers."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        try:
            return await door.ask(whom, query)
        except Unreachable:
            assert loop.time() < end
            await asyncio.sleep(0.05)


async def session_of(door: Door, run: Address) -> SessionView:
    """Return the session that works for a run, once its agent is in custody."""
    while True:
        view = await look(door, run)
        if view.session:
            session = await patiently(door, view.session, DescribeSession())
            if session.pid:
                return session
        await asyncio.sleep(0.05)


async def ended(door: Door, run: Address, seconds: float = 60) -> RunView:
    """Wait until a run has ended or waits for a person."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while (view := await look(door, run)).status not in ENDS:
        assert loop.time() < end, view
        await asyncio.sleep(0.1)
    return view


async def told(door: Door, name: str) -> list:
    """Return the facts of one name, as the log of events keeps them."""
    last = await door.last_event()
    found = []
    async for seen in door.events():
        if seen.event.name == name:
            found.append(seen.event)
        if seen.seq >= last:
            return found
    return found


async def texts(door: Door) -> list[str]:
    """Return what agents have written, turn by turn, as the log of events keeps it."""
    return [turn.text for turn in await told(door, "session.TurnEnded")]


__all__ = ["DescribeRepo", "Log", "begin", "ended", "look", "session_of", "texts", "told"]
