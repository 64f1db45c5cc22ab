"""One agent's process in custody: its lines counted, its end seen, its tree ended with it."""

import asyncio
import os
import signal
import subprocess
import threading
from asyncio import StreamReader, StreamReaderProtocol, StreamWriter
from collections.abc import Awaitable, Callable
from typing import IO, Literal

from actors.custody.birth import Birth, SpawnError, environment, find_program, fork, readable
from actors.custody.tree import end_tree, find_orphans, find_tree
from actors.runtime import process
from actors.runtime.process import Identity

Stream = Literal["out", "err"]
Sink = Callable[[Stream, int, tuple[bytes, ...]], Awaitable[None]]
"""Takes the lines of one read, without their newlines, and the number of the first; counted from 1 in each stream.

Nothing more is read before it returns.
"""

_READ = 64 * 1024
DRAIN = 2.0
"""Seconds that an open but silent pipe is waited for, once everybody is dead who should have held it."""
_GLANCE = 0.05
_ROUNDS = 5

_ours: set[int] = set()
"""The pids started here that are not yet reaped. Whose child one is, is a fact of the process: so is this."""


async def spawn(birth: Birth, sink: Sink, *, adopts: bool = False) -> "Child":
    """Start a process; raise ``SpawnError`` with a sentence where that is not possible.

    ``adopts`` says that this process is a child subreaper and starts nobody but here: then every other child of it
    is what a dead agent left behind, and is ended.
    """
    if threading.current_thread() is not threading.main_thread():
        # The kernel takes the death of the thread that forked for the death of the parent.
        raise RuntimeError("agents are started from the main thread alone")
    env = environment(birth, os.environ)
    program = find_program(birth, env)
    reader, report = os.pipe()
    try:
        try:
            # No await before the pid is written down: else a search for orphans might take the newborn for one.
            popen = fork(birth, env, program, report)
            _ours.add(popen.pid)
        finally:
            os.close(report)
        await readable(reader)
        said = os.read(reader, 16)
    finally:
        os.close(reader)
    if said:
        _bury(popen)
        raise SpawnError(f"{birth.argv[0]} cannot be started: {os.strerror(int(said))}")
    child = Child(popen, birth.mark, adopts=adopts)
    await child.attend(sink)
    return child


def _bury(popen: subprocess.Popen[bytes]) -> None:
    popen.wait()
    _ours.discard(popen.pid)
    for pipe in _pipes(popen):
        pipe.close()


def _pipes(popen: subprocess.Popen[bytes]) -> tuple[IO[bytes], ...]:
    return tuple(pipe for pipe in (popen.stdin, popen.stdout, popen.stderr) if pipe)


class Child:
    """A process that was started. ``lines`` counts what was handed on of its output, ``strays`` what it left behind."""

    def __init__(self, popen: subprocess.Popen[bytes], mark: str, *, adopts: bool) -> None:
        self.who = process.identify(popen.pid) or Identity(popen.pid, 0)
        self.lines: dict[Stream, int] = {"out": 0, "err": 0}
        self.strays = 0
        self.is_deaf = False
        """True once something could not be written: it had closed its stdin, or was dead."""
        self._popen = popen
        self._mark = mark
        self._adopts = adopts
        self._known: set[Identity] = set()
        self._patience = dict.fromkeys(self.lines, DRAIN)
        self._turn = asyncio.Lock()

    async def attend(self, sink: Sink) -> None:
        """Begin to read, and to wait for the end."""
        loop = asyncio.get_running_loop()
        stdin, *outs = _pipes(self._popen)
        reader = StreamReader()
        transport, protocol = await loop.connect_write_pipe(lambda: StreamReaderProtocol(reader), stdin)
        self._stdin = StreamWriter(transport, protocol, reader, loop)
        self._ended = asyncio.create_task(self._see_end())
        pumps = [asyncio.create_task(self._pump(name, pipe, sink)) for name, pipe in zip(self.lines, outs, strict=True)]
        self._done = asyncio.gather(self._ended, *pumps)

    async def write(self, chunk: bytes) -> None:
        """Write to its stdin, after whatever was written before; where nobody reads, ``is_deaf`` becomes true."""
        async with self._turn:
            if self._stdin.is_closing():
                self.is_deaf = True
                return
            try:
                self._stdin.write(chunk)
                await self._stdin.drain()
            except (BrokenPipeError, ConnectionResetError):
                self.is_deaf = True

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Return the exit code, negative for a signal, once its tree is ended and its last line handed on."""
        await asyncio.shield(self._done)
        return self._ended.result()

    async def end(self, grace: float) -> int:
        """End it: close its stdin, then SIGTERM, then SIGKILL, with ``grace`` seconds between; return the exit code.

        Its tree is ended then, while lines may still be on their way.
        """
        self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            await asyncio.wait((self._ended,), timeout=grace)
            if self._ended.done():
                break
            # After its death nothing leads to those who have cleared their environment, where nobody adopts them.
            self._known |= await asyncio.to_thread(find_tree, (self.who,), self._mark)
            self.signal(number)
        return await asyncio.shield(self._ended)

    async def _see_end(self) -> int:
        await self._lose()
        code = self._popen.wait()
        _ours.discard(self.who.pid)
        if not self._stdin.is_closing():
            self._stdin.transport.abort()
        self.strays = await asyncio.to_thread(end_tree, self.who, self._mark, frozenset(self._known))
        for _round in range(_ROUNDS if self._adopts else 0):
            orphans = find_orphans(_ours)
            if not orphans:
                break
            self.strays += await asyncio.to_thread(end_tree, self.who, self._mark, orphans)
        if self._adopts:
            process.reap(_ours)
        return code

    async def _lose(self) -> None:
        """Wait for the end of the process itself, whoever still holds its pipes."""
        fd = process.hold(self.who)
        if fd is None:  # it has ended, or there are no pidfds here
            while self._popen.poll() is None:  # noqa: ASYNC110  # there is nobody to set an event
                await asyncio.sleep(_GLANCE)
            return
        try:
            await readable(fd)
        finally:
            os.close(fd)

    async def _pump(self, name: Stream, pipe: IO[bytes], sink: Sink) -> None:
        stream = StreamReader(limit=_READ)
        loop = asyncio.get_running_loop()
        transport, _protocol = await loop.connect_read_pipe(lambda: StreamReaderProtocol(stream), pipe)
        try:
            rest = bytearray()
            while chunk := await self._read(name, stream):
                head, newline, tail = chunk.rpartition(b"\n")
                rest += head if newline else tail
                if newline:
                    await self._hand_on(name, tuple(bytes(rest).split(b"\n")), sink)
                    rest = bytearray(tail)
            if rest:
                await self._hand_on(name, (bytes(rest),), sink)
        finally:
            transport.close()

    async def _hand_on(self, name: Stream, lines: tuple[bytes, ...], sink: Sink) -> None:
        await sink(name, self.lines[name] + 1, lines)
        self.lines[name] += len(lines)

    async def _read(self, name: Stream, stream: StreamReader) -> bytes:
        """Read once. When all is over, a pipe that a stray holds open is read only as long as patience lasts."""
        reading = asyncio.ensure_future(stream.read(_READ))
        await asyncio.wait((reading, self._ended), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            loop = asyncio.get_running_loop()
            began = loop.time()
            await asyncio.wait((reading,), timeout=max(0.0, self._patience[name]))
            self._patience[name] -= loop.time() - began
        if reading.done():
            return reading.result()
        reading.cancel()
        return b""
