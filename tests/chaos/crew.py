"""The processes: hosts that may be killed, frozen and cut off, each behind a wire of its own, and their server."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.cast import NEW, OLD, TOLD
from tests.chaos.clock import Clocks
from tests.chaos.history import Log
from tests.runtime.wire import Wire
from tests.server import Server

ROOT = Path(__file__).parents[2]
_RAISED = re.compile(r"([a-zA-Z_]+\.)*[A-Z][a-zA-Z]*(Error|Exception|Group)\b.*:")


@dataclass(eq=False)
class Host:
    """One place of a host; each process that fills it has a name of its own."""

    place: str
    wire: Wire
    folder: Path
    clocks: Clocks
    sabotage: str = ""
    release: str = OLD
    process: "subprocess.Popen[bytes] | None" = None
    count: int = 0
    paused: bool = False

    @property
    def name(self) -> str:
        return f"{self.place}-{self.count}"

    @property
    def lease(self) -> str:
        """Return the name of the lease of the process that runs, once it has one."""
        path = self._lease
        return path.read_text() if path.exists() else ""

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, release: str = "") -> None:
        """Start a new process here."""
        self.count += 1
        self.release = release or self.release
        options = {"url": self.wire.url, "name": self.name, "release": self.release, "lease": str(self._lease)}
        argv = [f"--{key}={value}" for key, value in {**options, "sabotage": self._ways}.items()]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.host", *argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**os.environ, **self.clocks.environment(self.place)},
                start_new_session=True,
            )

    def signal(self, number: int) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.paused = self.paused if number == signal.SIGTERM else number == signal.SIGSTOP

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self.process:
            self.process.kill()
            self.process.wait()
            if self.process.stdin:
                self.process.stdin.close()
        self.process, self.paused = None, False

    @property
    def _ways(self) -> str:
        """Let every other process be one that does not look at its own lease: nothing may rest on that."""
        return ",".join(filter(None, ("lease" if self.count % 2 else "", self.sabotage)))

    @property
    def _lease(self) -> Path:
        return self.folder / f"{self.name}.lease"


@dataclass
class Crew:
    """All processes of the chaos, and their ends."""

    folder: Path
    server: Server
    log: Log
    hosts: list[Host] = field(default_factory=list)
    clocks: Clocks = field(init=False)
    died: int = 0
    """Hosts that have ended by themselves."""

    def __post_init__(self) -> None:
        self.clocks = Clocks(self.folder)

    async def begin(self, count: int, sabotage: str) -> None:
        """Start the hosts; every other one is of the newer release."""
        for number in range(count):
            wire = await Wire(self.server.port).__aenter__()
            host = Host(f"h{number}", wire, self.folder, self.clocks, sabotage, (OLD, NEW)[number % 2])
            self.hosts.append(host)
            host.start()

    async def keep(self) -> None:
        """Start again who has ended by itself, as a keeper does, until cancelled."""
        while True:
            await asyncio.sleep(0.5)
            for host in self.hosts:
                if host.process and host.process.poll() is not None and host.process.returncode:
                    self.died += 1
                    self.log.note("died", host.name, code=host.process.returncode)
                    host.kill()
                    host.start()

    @property
    def refused(self) -> int:
        """Count the writes that were refused, since another host had written: what hosts say of that."""
        return sum(path.read_text(errors="replace").count("wrong last sequence") for path in self.folder.glob("h*.log"))

    @property
    def tracebacks(self) -> "Counter[str]":
        """Return what hosts took for bugs of ours (a step that was told to fail is none), and how often."""
        found: Counter[str] = Counter()
        for path in self.folder.glob("h*.log"):
            lines = path.read_text(errors="replace").splitlines()
            found.update(line for line in lines if _RAISED.match(line) and TOLD not in line)
        return found

    async def end(self) -> None:
        """End every process that was started, by its pid."""
        for host in self.hosts:
            host.kill()
            await host.wire.__aexit__()
        self.server.kill()
