"""Who owns the agent processes of one machine: it outlives hosts, knows no protocol, and lets no process out of sight.

It spawns by id, stores the numbered lines of a process in PROC, writes to its stdin what stands there under ``in``, and
tells the session when the process and everything that it had started are gone. While NATS is away it reads no further:
the agent waits, nothing is dropped.
"""

import asyncio
import contextlib
import signal
import sys
import time
from dataclasses import dataclass, replace
from typing import Literal

import structlog

from actors.custody.birth import Birth, SpawnError
from actors.custody.child import Child, spawn
from actors.custody.ledger import Entry, Ledger
from actors.custody.tree import end_tree
from actors.runtime import process
from actors.runtime.journal import open_journal
from actors.runtime.nats import ask
from actors.runtime.nats.link import Link, connect
from actors.runtime.nats.ports import NatsPost
from actors.runtime.nats.proc import Writer, chunks
from actors.runtime.nats.server import login
from actors.runtime.nats.work import Bench, serve
from actors.runtime.place import Hub, find_hub
from actors.runtime.worker import Worker, serves
from protocol.address import Address, token, worker
from protocol.envelope import Envelope, letter
from protocol.errors import Refused, Unreachable, WorkFailed
from protocol.message import Event, Message
from protocol.node import Custody, End, Exited, Heeded, Signal, Spawn, Spawned, SpawnFailed, Ward

GRACE = 3.0
"""Seconds for each step of the end of an agent, where the custodian itself is told to end."""
LEAVING = 15.0
"""Seconds after which the custodian leaves though not all is told; the next one tells it by the ledger."""
WORDS = 4_000
"""Bytes of the end of stderr that are told with the end of a process."""

log = structlog.get_logger()


class _Mouth:
    """What a process says: stored line by line, and the end of its stderr remembered."""

    def __init__(self, link: Link, proc: str) -> None:
        self._writers = {"out": Writer(link, proc, "out"), "err": Writer(link, proc, "err")}
        self.words = b""

    async def take(self, stream: Literal["out", "err"], first: int, lines: tuple[bytes, ...]) -> None:
        """Store the lines of one read; nothing more is read before they are stored."""
        if stream == "err":
            self.words = (self.words + b"\n".join(lines) + b"\n")[-WORDS:]
        await self._writers[stream].append(first, tuple(line.decode(errors="replace") for line in lines))


@dataclass
class _Held:
    """One process in custody."""

    entry: Entry
    child: Child
    mouth: _Mouth
    attending: "asyncio.Task[None] | None" = None
    ending: "asyncio.Task[int] | None" = None


class Custodian:
    """Holds the processes that it started."""

    def __init__(self, hub: Hub, link: Link) -> None:
        """Hold nothing yet."""
        self._hub = hub
        self._link = link
        self._post = NatsPost(link, "said_custodian")
        self._ledger = Ledger(hub.run / "proc")
        self.id = hub.custodian(process.myself())
        self._held: dict[str, _Held] = {}

    async def run(self) -> None:
        """Take custody until cancelled."""
        lost = await self._inherit()
        does = dict((serves(Spawn, self._spawn), serves(End, self._end), serves(Signal, self._signal)))
        workers = (Worker(name, does) for name in ("custody", self.id))
        benches = tuple(Bench(self._link, self._post, self._hub.node, one) for one in workers)
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(benches))
            group.create_task(self._link.watch())
            for entry in lost:
                group.create_task(self._tell_lost(entry))
            group.create_task(ask.serve(self._link, f"car.ask.custodian.{token(self._hub.node)}", self._answer))

    async def leave(self) -> None:
        """End every process, and see that its session is told."""
        held = list(self._held.values())
        await asyncio.gather(*(one.child.end(GRACE) for one in held))
        await asyncio.gather(*(one.attending for one in held if one.attending))

    # commands

    async def _spawn(self, command: Spawn, asker: Address) -> Event:
        if held := self._held.get(command.proc):
            return self._spawned(held)
        if self._ledger.read(command.proc):
            return SpawnFailed(proc=command.proc, why="this process has ended already; it is not started twice")
        entry = Entry(command.proc, str(asker), self.id)
        self._ledger.write(entry)
        mark = self._hub.mark(self.id, command.proc)
        birth = Birth(command.argv, command.cwd, mark, command.env, command.inherit)
        mouth = _Mouth(self._link, command.proc)
        try:
            child = await spawn(birth, mouth.take, adopts=True)
        except SpawnError as error:
            self._ledger.write(replace(entry, ended=time.time()))
            return SpawnFailed(proc=command.proc, why=str(error))
        held = _Held(replace(entry, pid=child.who.pid, born=child.who.born), child, mouth)
        self._held[command.proc] = held
        held.attending = asyncio.get_running_loop().create_task(self._attend(held))
        try:
            self._ledger.write(held.entry)
        except OSError as error:
            held.ending = asyncio.get_running_loop().create_task(child.end(GRACE))
            why = f"{command.argv[0]} was ended again: the custodian could not write it down: {error.strerror}"
            return SpawnFailed(proc=command.proc, why=why)
        return self._spawned(held)

    async def _end(self, command: End, _: Address) -> Event:
        held = self._held.get(command.proc)
        if held is not None:
            held.ending = held.ending or asyncio.get_running_loop().create_task(held.child.end(command.grace))
        return Heeded(proc=command.proc)

    async def _signal(self, command: Signal, _: Address) -> Event:
        held = self._held.get(command.proc)
        if held is None:
            raise WorkFailed(f"the process {command.proc} is not in custody here")
        held.child.signal(signal.Signals[command.signal])
        return Heeded(proc=command.proc)

    # custody

    def _spawned(self, held: _Held) -> Spawned:
        entry = held.entry
        return Spawned(proc=entry.proc, custodian=self.id, pid=entry.pid, born=entry.born)

    async def _attend(self, held: _Held) -> None:
        """Feed a process until it ends, then tell its session."""
        feeding = asyncio.get_running_loop().create_task(self._feed(held))
        try:
            code = await held.child.wait()
        except Exception:  # whatever it is: an agent to which nobody listens must not go on, and its session is told
            log.exception("an agent cannot be attended", proc=held.entry.proc)
            code = await held.child.end(GRACE)
        feeding.cancel()
        words = held.mouth.words.decode(errors="replace")
        log.info("a process has ended", proc=held.entry.proc, code=code, strays=held.child.strays)
        await self._tell(held.entry, Exited(proc=held.entry.proc, code=code, lines=held.child.lines["out"], err=words))
        self._held.pop(held.entry.proc, None)

    async def _feed(self, held: _Held) -> None:
        """Write what PROC has for the stdin of a process: chunk n only after chunk n-1, each once."""
        written = 0
        async for chunk in chunks(self._link, held.entry.proc, 1, "in"):
            # What is missing before it was purged, and will not come: the turn that it was for is over.
            if chunk.first > written:
                await held.child.write("".join(f"{line}\n" for line in chunk.lines).encode())
                written = chunk.last

    async def _inherit(self) -> list[Entry]:
        """End what a dead custodian left; return those whose sessions are to be told."""
        lost = []
        for entry in self._ledger.living():
            before = process.read_identity(entry.custodian)
            if entry.custodian == self.id or (before and process.alive(before)):
                continue
            who = process.Identity(entry.pid, entry.born)
            mark = self._hub.mark(entry.custodian, entry.proc)
            await asyncio.to_thread(end_tree, who, mark)
            log.warning("a process was lost with its custodian", proc=entry.proc)
            lost.append(entry)
        return lost

    async def _tell_lost(self, entry: Entry) -> None:
        lines = await self._last_line(entry.proc)
        await self._tell(entry, Exited(proc=entry.proc, code=-signal.SIGKILL, lines=lines, lost=True))

    async def _last_line(self, proc: str) -> int:
        while True:
            try:
                return await Writer(self._link, proc, "out").last()
            except Unreachable:
                await asyncio.sleep(0.2)

    async def _tell(self, entry: Entry, exited: Exited) -> None:
        me = worker(self._hub.node, "custody", entry.proc)
        envelope = Envelope(me, (letter(exited, f"{entry.proc}.exited"),))
        pause = 0.1
        while True:
            try:
                await self._post.send(entry.owner, envelope)
            except Unreachable as error:
                log.info("waiting to tell an end", proc=entry.proc, error=str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                break
        with contextlib.suppress(OSError):  # then the next custodian tells it once more, which nobody minds
            self._ledger.write(replace(entry, ended=time.time()))

    async def _answer(self, _: Address, __: Envelope, ___: int) -> Message:
        wards = tuple(Ward(proc=one.entry.proc, session=one.entry.owner) for one in self._held.values())
        return Custody(custodian=self.id, wards=wards)


async def take_custody(hub: Hub) -> None:
    """Work until told to end by SIGTERM; then end what is held."""
    process.adopt_orphans()
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    waiting = loop.create_task(told.wait())
    connecting = loop.create_task(connect(login(hub, "custodian"), wait=60.0))
    await asyncio.wait((connecting, waiting), return_when=asyncio.FIRST_COMPLETED)
    if not connecting.done():
        # Without a server nothing was begun, so there is nothing to end.
        connecting.cancel()
        return
    link = await connecting
    custodian = Custodian(hub, link)
    working = loop.create_task(custodian.run())
    await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    try:
        async with asyncio.timeout(LEAVING):
            await custodian.leave()
    except TimeoutError:
        log.warning("the custodian leaves before all is told")
    working.cancel()
    waiting.cancel()
    await asyncio.wait((working, waiting))
    await link.close()
    if not working.cancelled() and (error := working.exception()):
        raise error


def main() -> None:
    """Be the custodian of the hub that the environment names."""
    if "--help" in sys.argv[1:]:
        sys.stdout.write("usage: CAR_HUB=PATH car-custodian    (It is started by the keeper)\n")
        return
    open_journal()
    try:
        asyncio.run(take_custody(find_hub()))
    except (Refused, Unreachable) as error:
        raise SystemExit(str(error)) from error
