"""The one place that starts and ends our own processes: the keeper, and through it all others of a hub."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from actors.runtime import process
from actors.runtime.place import Hub, program
from actors.runtime.process import Identity, Record
from protocol.errors import Refused

_START_PATIENCE = 10.0
_STOP_PATIENCE = 60.0
_LAST = ("host", "custodian", "server", "keeper")
"""Who is ended last, in this order: the server outlives those that still have something to write down."""
_GRACES = {"custodian": 20.0}
_GRACE = 10.0
_GLANCE = 0.02
_ROUNDS = 3
"""How often strays are looked for at the end: one may start another meanwhile, and in ``exec`` none shows its mark."""


@dataclass(frozen=True, slots=True)
class State:
    """How one process of a hub fares. ``since`` is in seconds since 1970."""

    name: str
    pid: int
    alive: bool
    since: float


def up(hub: Hub, keeper: Sequence[str] = (), until: Identity | None = None) -> Record:
    """Start a detached keeper, unless one is at work; return its record.

    ``keeper`` is the command that becomes one (by default the program ``car-keeper``). Where ``until`` is given, a
    keeper that is started here ends with that process, and takes everything with it.
    """
    found = _keeper(hub)
    if found and not found.leaving:
        return found
    extra = ("--until", str(until)) if until else ()
    argv = (*(keeper or _command(hub)), *extra)
    pid = _detach(hub, argv)
    # Two may do this at once: then one keeper refuses, and the other's record is what both find. One that is leaving
    # is waited for, by the new keeper as by us.
    deadline = time.monotonic() + (_STOP_PATIENCE if found else _START_PATIENCE)
    if not _until(lambda: _is_at_work(hub) or _has_ended(pid), deadline) or not _is_at_work(hub):
        raise Refused(f"the keeper does not start; what it said is in {hub.log / 'keeper.log'}")
    at_work = _keeper(hub)
    if at_work and at_work.pid != pid and (loser := process.identify(pid)):
        # It may still wait for its turn, and would take it when the other is stopped.
        process.terminate(loser, 1.0)
    _reap(pid)
    if not at_work:
        raise Refused(f"the keeper has ended at once; what it said is in {hub.log / 'keeper.log'}")
    return at_work


def up_with_me(hub: Hub) -> Record:
    """Start a keeper as ``up`` does, which ends with this process, however this ends."""
    return up(hub, until=process.myself())


def call(name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a short program of ours to its end; what it says is in ``stdout`` and ``stderr``."""
    return subprocess.run(  # noqa: S603  # a program of ours
        (program(name), *arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def stop(hub: Hub) -> tuple[str, ...]:
    """End everything of a hub, in order, and nothing that is not in its records; return the names of what was ended."""
    before = sorted((state.name for state in states(hub) if state.alive), key=_turn)
    keeper = _keeper(hub)
    if keeper and process.send(keeper.who, signal.SIGTERM) and not process.wait(keeper.who, _STOP_PATIENCE):
        process.terminate(keeper.who, 0.0)
    if keeper:
        _reap(keeper.pid)
    # What a keeper ends is gone by now; without one, or where it was killed in this, it is done here.
    for record in sorted(process.records(hub.run), key=lambda record: _turn(record.name)):
        process.terminate(record.who, _GRACES.get(record.name, _GRACE))
        process.remove(hub.run, record.name)
    for _round in range(_ROUNDS):
        for who in process.forsaken(hub.token):
            process.terminate(who, 1.0)
        time.sleep(_GLANCE)
    return tuple(before)


def renew_host(hub: Hub, keeper: Sequence[str] = ()) -> Record:
    """Let the host end and start afresh, and nothing else; return the record of the new one."""
    old = process.read(hub.run, "host")
    is_there = _is_at_work(hub) or (old is not None and process.alive(old.who))
    at_work = up(hub, keeper)
    if is_there:
        process.send(at_work.who, signal.SIGHUP)
    if not _until(lambda: _is_renewed(hub, old), time.monotonic() + 2 * _GRACE):
        raise Refused(f"the host does not start again; what it said is in {hub.log / 'host.log'}")
    new = process.read(hub.run, "host")
    if not new:
        raise Refused(f"the host has ended at once; what it said is in {hub.log / 'host.log'}")
    return new


def states(hub: Hub) -> tuple[State, ...]:
    """Tell how every process in the records of a hub fares."""
    return tuple(
        State(record.name, record.pid, process.alive(record.who), record.started_at)
        for record in process.records(hub.run)
    )


def foreground(hub: Hub, keeper: Sequence[str] = ()) -> NoReturn:
    """Become the keeper in this process, for whoever looks after it from outside (systemd, a container)."""
    found = _keeper(hub)
    if found and not found.leaving:
        raise Refused(f"a keeper is at work in {hub.root} already (pid {found.pid}), type: car down")
    argv = tuple(keeper or _command(hub))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(argv[0], argv, _environment(hub))  # noqa: S606  # no shell is meant


def _command(hub: Hub) -> tuple[str, ...]:
    return (program("car-keeper"), "--hub", str(hub.root))


def _environment(hub: Hub) -> dict[str, str]:
    # Who types ``car up`` within an agent must not hand down the agent's mark.
    kept = {name: value for name, value in os.environ.items() if name != process.MARK}
    return {**kept, "CAR_HUB": str(hub.root)}


def _detach(hub: Hub, argv: tuple[str, ...]) -> int:
    """Start a program in a session of its own, without our terminal, signals and files."""
    log = str(hub.log / "keeper.log")
    files = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    )
    heard = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE)
    try:
        return os.posix_spawn(
            argv[0], argv, _environment(hub), file_actions=files, setsid=True, setsigmask=(), setsigdef=heard
        )
    except OSError as error:
        raise Refused(f"the keeper cannot be started: {argv[0]}: {error.strerror}") from error


def _keeper(hub: Hub) -> Record | None:
    record = process.read(hub.run, "keeper")
    return record if record and process.alive(record.who) else None


def _is_at_work(hub: Hub) -> bool:
    record = _keeper(hub)
    return record is not None and not record.leaving


def _is_renewed(hub: Hub, old: Record | None) -> bool:
    new = process.read(hub.run, "host")
    return new is not None and process.alive(new.who) and (old is None or new.who != old.who)


def _has_ended(pid: int) -> bool:
    sight = process.look(pid)
    return sight is None or sight.zombie


def _reap(pid: int) -> None:
    """Take note of the end of a keeper, where it was started by this very process."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _turn(name: str) -> int:
    return _LAST.index(name) if name in _LAST else -1


def _until(is_so: Callable[[], bool], deadline: float) -> bool:
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_GLANCE)
    return True
