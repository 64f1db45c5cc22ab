"""The keeper of a hub: starts what the hub is made of, starts again what dies, and ends what nobody cares for.

1. What it starts outlives it. Killing the keeper kills nobody; the next one adopts whoever lives, by the records.
2. Whoever it starts writes its own record before it becomes what it is: there is no process without a record.
3. Nothing here waits, but in the ordered stop: one loop looks after everybody in turn.
"""

import contextlib
import fcntl
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

from actors.custody.room import Room
from actors.custody.stray import Sweep
from actors.runtime import process
from actors.runtime.place import Hub, find_hub, program
from actors.runtime.process import Identity
from protocol.errors import Refused

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
_STEADY = 30.0
"""Seconds of life after which a child counts as sound again."""
_LOG_BOUND = 5_000_000
_LOCK_PATIENCE = 60.0
_TICK = 5.0 if process.HAS_PROC else 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Child:
    """What to start, in the order of the cast; the end comes in the opposite order, ``grace`` seconds after SIGTERM."""

    name: str
    argv: tuple[str, ...]
    grace: float = 10.0


@dataclass(slots=True)
class Kept:
    """How one child fares. Times are of the monotonic clock."""

    child: Child
    who: Identity | None = None
    fd: int | None = None
    since: float = 0.0
    pause: float = _FIRST_PAUSE
    due: float = 0.0
    patience: float = math.inf
    """When it is killed that has been told to end in order to be started afresh."""


def cast(hub: Hub) -> tuple[Child, ...]:
    """Return what a hub is made of: its own server (where it has one), its custodian, its host."""
    conf = hub.nats / "server.conf"
    server = (Child("server", (program("nats-server"), "-c", str(conf))),) if conf.exists() else ()
    custodian = Child("custodian", (program("car-custodian"),), grace=20.0)
    return (*server, custodian, Child("host", (program("car-host"),)))


def run(hub: Hub, children: Sequence[Child], until: Identity | None = None) -> None:
    """Keep the children of a hub until told to end, or until the process ``until`` has ended.

    Raise ``Refused`` where another keeper is at work.
    """
    lock = _lock(hub)
    try:
        Keeper(hub, children, until).live()
    finally:
        os.close(lock)


def main() -> None:
    """Be the program ``car-keeper [--hub PATH] [--until IDENTITY]``."""
    if "--help" in sys.argv[1:]:
        sys.stdout.write("usage: car-keeper [--hub PATH] [--until PID-BORN]\n")
        return
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    until = process.read_identity(words.get("--until", ""))
    if len(sys.argv) % 2 == 0 or not set(words) <= {"--hub", "--until"} or ("--until" in words and not until):
        sys.exit("usage: car-keeper [--hub PATH] [--until PID-BORN]")
    try:
        hub = find_hub(Path(words["--hub"]) if "--hub" in words else None)
        run(hub, cast(hub), until)
    except Refused as error:
        sys.stderr.write(f"car-keeper: {error}\n")
        sys.exit(3)


def _lock(hub: Hub) -> int:
    """Become the one keeper of a hub; one that is about to leave is waited for."""
    fd = os.open(hub.run / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = process.read(hub.run, "keeper")
            is_at_work = other is not None and not other.leaving and process.alive(other.who)
            if is_at_work or time.monotonic() > deadline:
                os.close(fd)
                pid = other.pid if other else "unknown"
                raise Refused(f"a keeper is at work in {hub.root} already (pid {pid})") from None
            time.sleep(0.05)
        else:
            return fd


class Keeper:
    """The one loop. ``heard`` are the signals that came since it was last looked."""

    def __init__(self, hub: Hub, children: Sequence[Child], until: Identity | None) -> None:
        self.hub = hub
        self.kept = [Kept(child) for child in children]
        self.until = until
        self.until_fd = process.hold(until) if until else None
        self.heard: set[int] = set()
        self.sweep = Sweep(hub)
        self.room = Room(hub.nats, hub.log / "server.log")

    def live(self) -> None:
        """Look after everybody until told to end, then end them."""
        process.adopt_orphans()
        os.chdir(self.hub.root)  # and not where somebody happened to type ``car up``
        ear = self._listen()
        # The record comes after the signals: who reads it may send one at once.
        me = process.describe_myself("keeper", sys.argv)
        try:
            process.write(self.hub.run, me)
        except OSError as error:
            raise Refused(f"the keeper cannot write its record in {self.hub.run}: {error.strerror}") from error
        self._adopt()
        while not self._is_told_to_end():
            codes = process.reap()
            for kept in self.kept:
                self._look_after(kept, codes)
            self.sweep.go(self._everybody())
            if self.room.came_back():
                _say("the disk was full and has room again")
                self._renew("server")
            self._rest(ear)
        with contextlib.suppress(OSError):  # a full disk, or no hub any more: all the same it is to end
            process.write(self.hub.run, process.leaving(me))
        self._stop()
        process.remove(self.hub.run, "keeper")

    def _listen(self) -> int:
        ear, mouth = os.pipe()
        os.set_blocking(ear, False)
        os.set_blocking(mouth, False)
        signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._hear)
        return ear

    def _hear(self, number: int, _frame: FrameType | None) -> None:
        self.heard.add(number)

    def _adopt(self) -> None:
        for kept in self.kept:
            record = process.read(self.hub.run, kept.child.name)
            if record and process.alive(record.who):
                kept.who, kept.fd = record.who, process.hold(record.who)
                kept.since = time.monotonic() - max(0.0, time.time() - record.started_at)
                self.sweep.adopted.add(record.who)
                _say(f"{record.name} lives (pid {record.pid})")

    def _is_told_to_end(self) -> bool:
        if signal.SIGHUP in self.heard:
            self.heard.discard(signal.SIGHUP)
            self._renew("host")
        is_over = self.until is not None and not process.alive(self.until)
        return is_over or _is_gone(self.hub.run) or bool(self.heard & {signal.SIGTERM, signal.SIGINT})

    def _renew(self, name: str) -> None:
        for kept in self.kept:
            if kept.child.name == name:
                kept.due, kept.pause = 0.0, _FIRST_PAUSE
                if kept.who and process.send(kept.who, signal.SIGTERM):
                    kept.patience = time.monotonic() + kept.child.grace

    def _look_after(self, kept: Kept, codes: dict[int, int]) -> None:
        now = time.monotonic()
        if kept.who and not process.alive(kept.who):
            self._take_leave(kept, codes.get(kept.who.pid), now)
        if kept.who and now >= kept.patience:
            process.send(kept.who, signal.SIGKILL)
        if kept.who is None and now >= kept.due:
            self._start(kept, now)

    def _take_leave(self, kept: Kept, code: int | None, now: float) -> None:
        if kept.patience < math.inf:
            kept.due = now
        else:
            kept.pause = _FIRST_PAUSE if now - kept.since >= _STEADY else kept.pause
            kept.due, kept.pause = now + kept.pause, min(2 * kept.pause, _LONGEST_PAUSE)
        again = f"starts again in {max(0.0, kept.due - now):.1f} s"
        _say(f"{kept.child.name} ended ({'end not seen' if code is None else f'exit {code}'}), {again}")
        if kept.fd is not None:
            os.close(kept.fd)
        kept.who, kept.fd, kept.patience = None, None, math.inf
        self.sweep.alarm()

    def _start(self, kept: Kept, now: float) -> None:
        kept.due = now + kept.pause  # matters only where no child comes of it
        try:
            # One thread and a small memory: a plain fork is safe here, and the child can do what rule 2 asks of it.
            pid = os.fork()
        except OSError as error:
            _say(f"{kept.child.name} cannot be started: {error.strerror}")
            return
        if pid == 0:
            _become(self.hub, kept.child)
        kept.who, kept.since = process.identify(pid), now
        kept.fd = process.hold(kept.who) if kept.who else None
        _say(f"{kept.child.name} started (pid {pid})")

    def _everybody(self) -> set[Identity]:
        return {kept.who for kept in self.kept if kept.who}

    def _rest(self, ear: int) -> None:
        """Sleep until something ends, is due, or is said."""
        now, wakers = (
            time.monotonic(),
            [fd for fd in (self.until_fd, *(kept.fd for kept in self.kept)) if fd is not None],
        )
        dues = [kept.due if kept.who is None else kept.patience for kept in self.kept]
        seconds = min(self.sweep.pause(_TICK), *(max(0.0, due - now) for due in dues), _TICK)
        process.rest((ear, *wakers), seconds)
        try:
            while os.read(ear, 512):
                pass
        except BlockingIOError:
            pass

    def _stop(self) -> None:
        for kept in reversed(self.kept):
            if kept.who and process.terminate(kept.who, kept.child.grace):
                _say(f"{kept.child.name} ended")
            process.remove(self.hub.run, kept.child.name)
            process.reap()
        self.sweep.finish()


def _become(hub: Hub, child: Child) -> NoReturn:
    """Turn this fork of the keeper into a child, in a session of its own."""
    try:
        signal.set_wakeup_fd(-1)
        # Python ignores SIGPIPE, and what is ignored stays so in what we become.
        for number in (*_SIGNALS, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        _write_to(hub.log / f"{child.name}.log")
        process.write(hub.run, process.describe_myself(child.name, child.argv))
        os.execvpe(child.argv[0], child.argv, {**os.environ, "CAR_HUB": str(hub.root)})  # noqa: S606  # no shell is meant
    except OSError as error:
        _say(f"{child.name} cannot be started: {child.argv[0]}: {error.strerror}")
    finally:
        os._exit(127)


def _is_gone(folder: Path) -> bool:
    """Tell whether somebody has deleted a hub: without its records nobody could find us or end us again."""
    try:
        folder.stat()
    except FileNotFoundError:
        return True
    except OSError:  # a disk that does not answer is not one that is gone
        return False
    return False


def _write_to(log: Path) -> None:
    if log.exists() and log.stat().st_size > _LOG_BOUND:
        log.replace(log.with_suffix(".log.old"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    page = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for fd, end in ((nothing, 0), (page, 1), (page, 2)):
        os.dup2(fd, end)


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody dies of a full disk here
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n".encode())


if __name__ == "__main__":
    main()
