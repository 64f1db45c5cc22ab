"""The faults themselves, each by its name; what lasts for a while goes on beside what comes next, until it heals."""

import asyncio
import signal
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random

from actors.runtime.nats.layout import MAIL
from actors.runtime.nats.link import Link
from actors.runtime.ports import MAILBOX
from protocol.address import token
from protocol.errors import CarError
from tests.chaos.cast import NEW, OLD
from tests.chaos.crew import Crew, Host
from tests.chaos.echo import Echo
from tests.chaos.history import Log
from tests.chaos.load import SLOW, Load
from tests.chaos.takeover import Takeovers

QUIET = 3.0
"""Seconds after a fault before a kill counts as one that came alone."""
READY = 8.0
ALONE = 0.55
"""How many of the kills wait until nothing else is broken: only these say how long a take-over takes."""


@dataclass
class Faults:
    """Does harm, and counts it."""

    crew: Crew
    link: Link
    load: Load
    takeovers: Takeovers
    echo: Echo
    log: Log
    rng: Random
    count: Counter[str] = field(default_factory=Counter)
    _lasting: set["asyncio.Task[None]"] = field(default_factory=set)
    _disturbed: float = 0.0

    async def do(self, kind: str) -> None:
        """Do one fault; return when the next may come."""
        deeds = {
            "kill": self._kill,
            "kill_all": self._kill_all,
            "pause": self._pause,
            "cut": self._cut,
            "stall": self._stall,
            "kill_server": lambda: self._server(signal.SIGKILL),
            "stop_server": lambda: self._server(signal.SIGTERM),
            "slow_disk": self._slow_disk,
            "fill": self._fill,
            "shift": self._shift,
            "roll": self._roll,
            "repeat": self._repeat,
        }
        await deeds[kind]()

    async def heal(self) -> None:
        """Wait until what lasts is over, and set everything right; the newer release is there at the end."""
        while self._lasting:
            await asyncio.wait(self._lasting)
        for host in self.crew.hosts:
            host.wire.flow()
            host.signal(signal.SIGCONT)
            self.crew.clocks.shift(host.place, 0)
        if not any(host.runs and host.release == NEW for host in self.crew.hosts):
            self.crew.hosts[0].kill()
            self.crew.hosts[0].release = NEW
        for host in self.crew.hosts:
            if not host.runs:
                host.kill()
                host.start()

    # one after another

    async def _kill(self) -> None:
        """Kill a host, see how long its shards are without one, start another after a while."""
        healthy = [host for host in self.crew.hosts if host.runs and not host.paused]
        if len(healthy) < 2:
            await asyncio.sleep(0.5)
            return
        if self.rng.random() < ALONE:
            await self._calm()
            healthy = [host for host in self.crew.hosts if host.runs]
        await self._settled(healthy)
        held = {host: await self._held(host) for host in healthy}
        host = self.rng.choice([host for host in healthy if host.runs] or healthy)
        alone = self.log.now - self._disturbed > QUIET and not self._lasting and len(held[host]) > 0
        self._say("kill", host.name, shards=len(held[host]), alone=alone, release=host.release)
        host.kill()
        self.count["kills"] += 1
        self._last(self._start_again(host))
        await self.takeovers.measure(held[host], alone=alone)

    async def _kill_all(self) -> None:
        self._say("kill_all")
        for host in self.crew.hosts:
            if host.runs:
                self.count["kills"] += 1
                host.kill()
                self._last(self._start_again(host))
        self._disturb()

    async def _start_again(self, host: Host) -> None:
        await asyncio.sleep(self.rng.uniform(0.1, 2.0))
        host.start(self.rng.choice((OLD, NEW)))

    async def _pause(self) -> None:
        """Freeze a host for longer than its lease; another goes on, then it wakes up."""
        host = self._any()
        seconds = self.rng.uniform(2.2, 6.0)
        self._say("pause", host.name, seconds=round(seconds, 2))
        self.count["pauses"] += 1
        host.signal(signal.SIGSTOP)
        self._last(self._wake(host, seconds))
        await asyncio.sleep(self.rng.uniform(0.5, 2.0))

    async def _wake(self, host: Host, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if host.paused:
            self._say("wake", host.name)
            host.signal(signal.SIGCONT)

    async def _cut(self) -> None:
        """Cut the wires of hosts in quick succession; now and then only the client's end is lost."""
        for _ in range(self.rng.randint(2, 5)):
            host = self._any()
            half = self.rng.random() < 0.3
            self._say("cut", host.name, half=half)
            self.count["cuts"] += 1
            if half:
                host.wire.lose()
            else:
                host.wire.cut()
            await asyncio.sleep(self.rng.choice((0.02, 0.1, 0.5)))

    async def _stall(self) -> None:
        host, way = self._any(), self.rng.choice(("up", "down"))
        seconds = self.rng.uniform(0.3, 4.5)
        self._say("stall", host.name, way=way, seconds=round(seconds, 2))
        self.count["stalls"] += 1
        host.wire.stall(way)
        self._last(self._flow(host, seconds))
        await asyncio.sleep(self.rng.uniform(0.2, 1.5))

    async def _flow(self, host: Host, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self.rng.random() < 0.3:
            host.wire.cut()
        host.wire.flow()
        self._disturb()

    async def _server(self, number: int) -> None:
        """End the server, hard or as it wishes, and start it again on its store."""
        self._say("server", signal=number)
        self.count["servers"] += 1
        server = self.crew.server
        if server.process:
            server.process.send_signal(number)
            await asyncio.to_thread(server.process.wait)
        await asyncio.sleep(self.rng.uniform(0.05, 1.5))
        await asyncio.to_thread(server.start)
        self._disturb()

    async def _slow_disk(self) -> None:
        """Let the server stand still again and again, as one does that waits for its disk."""
        self._say("slow_disk")
        self.count["slow_disks"] += 1
        for _ in range(self.rng.randint(4, 8)):
            process = self.crew.server.process
            if process:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(self.rng.uniform(0.05, 0.5))
                process.send_signal(signal.SIGCONT)
            await asyncio.sleep(self.rng.uniform(0.02, 0.2))
        self._disturb()

    async def _fill(self) -> None:
        """Fill a mailbox whose actor waits for cards that nobody looks at, and let other actors write to it."""
        slow = self.rng.choice(SLOW)
        self._say("fill", str(slow))
        self.count["fills"] += 1
        for _ in range(20):  # the first are handled, and what they show fills the room; then the others stay
            await self.load.pour(slow, 120)
            if await self._shown(slow.key) >= MAILBOX:
                break
            await asyncio.sleep(0.5)
        await self.load.pour(slow, 2 * MAILBOX)
        self._last(self._empty(slow.key))
        await self.load.push(slow)

    async def _empty(self, key: str) -> None:
        """Look at the cards at last."""
        await asyncio.sleep(self.rng.uniform(7.0, 10.0))
        await self.look(key)

    async def _shown(self, key: str) -> int:
        subject = f"car.out.chaos.{key}"
        try:
            found = await self.link.api("STREAM.INFO.OUT", {"subjects_filter": subject})
        except CarError:
            return 0
        return found.number("state", "subjects", subject)

    async def look(self, key: str) -> None:
        """Take all cards of a room away."""
        while True:
            try:
                await self.link.api("STREAM.PURGE.OUT", {"filter": f"car.out.chaos.{key}"})
            except CarError:
                await asyncio.sleep(0.2)
            else:
                return

    async def _shift(self) -> None:
        """Set the wall clock of a host wrong, by seconds or by hours, back or forth."""
        host = self._any()
        seconds = self.rng.choice((-7200, -90, -5, 5, 90, 7200, 86_400 * 30))
        self._say("shift", host.name, seconds=seconds)
        self.count["shifts"] += self.crew.clocks.possible
        self.crew.clocks.shift(host.place, seconds)

    async def _roll(self) -> None:
        """Replace a host in the midst of its work by one of the other release: it is told to end, and leaves."""
        host = self._any()
        if host.process is None:
            return
        process, old = host.process, host.name
        self._say("roll", old, release=host.release)
        self.count["rolls"] += 1
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(15):
                while process.poll() is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            self._say("did not leave", old)
            self.count["did_not_leave"] += 1
        host.kill()
        host.start(OLD if host.release == NEW else NEW)

    async def _repeat(self) -> None:
        self.count["repeats"] += await self.echo.repeat(self.rng)
        self._say("repeat", mails=self.count["repeats"])

    # what these need

    async def _calm(self) -> None:
        """Wait until nothing is broken any more."""
        while self._lasting:
            await asyncio.wait(self._lasting)
        await asyncio.sleep(max(0.0, QUIET + 0.1 - (self.log.now - self._disturbed)))

    async def _settled(self, hosts: list[Host]) -> None:
        """Wait until each of these hosts reads something, but not for long."""
        until = self.log.now + READY
        while self.log.now < until:
            held = [await self._held(host) for host in hosts]
            if all(held) and sum(map(len, held)) == 64:
                return
            await asyncio.sleep(0.1)

    async def _held(self, host: Host) -> list[int]:
        """Return the shards that a host reads, as the server has it."""
        lease = host.lease
        if not lease:
            return []
        try:
            found = await self.link.api(f"CONSUMER.NAMES.{MAIL}")
        except CarError:
            return []
        end, names = f"-{token(lease)}", found.part("consumers")
        if not isinstance(names, list):
            return []
        return [int(name[1 : -len(end)]) for name in names if name.endswith(end)]

    def _any(self) -> Host:
        running = [host for host in self.crew.hosts if host.runs and not host.paused]
        return self.rng.choice(running or self.crew.hosts)

    def _say(self, what: str, who: str = "", **more: object) -> None:
        self.log.note("fault", who, kind=what, **more)
        if what not in ("kill", "wake"):
            self._disturb()

    def _disturb(self) -> None:
        self._disturbed = self.log.now

    def _last(self, deed: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(deed)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)
