"""A process of this machine, known by its pid and start time, and the records of those that are ours.

A pid alone is a number that somebody else may have tomorrow. Whoever signals or waits here names both, and on Linux
holds the process by a pidfd meanwhile, so that never a stranger is hit. A zombie has ended: it only waits to be told.
"""

import contextlib
import ctypes
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = sys.platform == "linux"
MARK = "CAR_PROC"
"""The variable that every descendant of an agent carries, so that it is known whatever it did to hide."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IDENTITY = re.compile(r"(?:.*-)?(\d+)-(\d+)")
_PATIENCE_AFTER_KILL = 5.0
_GLANCE = 0.02 if HAS_PROC else 0.2
_PS = ("ps", "-ww", "-o", "pid=,ppid=,state=,lstart=")


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One process and no other. ``born`` is in clock ticks since boot; without /proc in seconds since 1970."""

    pid: int
    born: int

    def __str__(self) -> str:
        """Show the identity in a form that is a token of an address: ``4711-90210``."""
        return f"{self.pid}-{self.born}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What the machine says of a process at this moment."""

    who: Identity
    parent: int
    zombie: bool


def read_identity(text: str) -> Identity | None:
    """Return the identity at the end of a text such as ``4711-90210`` or ``a1b2c3d4-4711-90210``."""
    found = _IDENTITY.fullmatch(text)
    return Identity(int(found[1]), int(found[2])) if found else None


def look(pid: int) -> Sight | None:
    """Look at one process, also at a zombie."""
    return _look_in_proc(pid) if HAS_PROC else look_by_ps("-p", str(pid)).get(pid)


def table() -> dict[int, Sight]:
    """Look at every process of the machine."""
    if not HAS_PROC:
        return look_by_ps("-A")
    seen = map(_look_in_proc, _pids())
    return {sight.who.pid: sight for sight in seen if sight}


def _pids() -> list[int]:
    return [int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit()]


def _look_in_proc(pid: int) -> Sight | None:
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:  # gone, or hidden from us
        return None
    # The second field is the name of the program in brackets, and may itself hold blanks and brackets.
    fields = text[text.rindex(b")") + 2 :].split()
    return Sight(Identity(pid, int(fields[19])), int(fields[1]), fields[0] in b"ZXx")


def look_by_ps(*which: str) -> dict[int, Sight]:
    """Look at processes where there is no /proc (macOS)."""
    asked = subprocess.run(  # noqa: S603  # a constant command, and pids
        (*_PS, *which), capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
    )
    seen = {}
    for line in asked.stdout.splitlines():
        pid, parent, state, *started = line.split()
        born = int(time.mktime(time.strptime(" ".join(started), "%a %b %d %H:%M:%S %Y")))
        seen[int(pid)] = Sight(Identity(int(pid), born), int(parent), state.startswith("Z"))
    return seen


def identify(pid: int) -> Identity | None:
    """Return who has this pid now."""
    sight = look(pid)
    return sight.who if sight else None


def myself() -> Identity:
    """Return the identity of this process."""
    return identify(os.getpid()) or Identity(os.getpid(), 0)


def alive(who: Identity) -> bool:
    """Tell whether a process runs: neither gone, nor a zombie, nor its pid given to another."""
    sight = look(who.pid)
    return sight is not None and sight.who == who and not sight.zombie


def hold(who: Identity) -> int | None:
    """Return a pidfd, readable once the process ends; nothing where it has ended, or where there are no pidfds."""
    if sys.platform != "linux":
        return None
    try:
        fd = os.pidfd_open(who.pid)
    except OSError:  # gone; or a kernel without the call
        return None
    # Only now is it certain that the fd is of the process meant: it cannot change hands any more.
    if alive(who):
        return fd
    os.close(fd)
    return None


def send(who: Identity, number: int) -> bool:
    """Send a signal to exactly this process; tell whether there was anybody to get it."""
    if not alive(who):
        return False
    fd = hold(who)
    try:
        if fd is None:
            if not alive(who):
                return False
            os.kill(who.pid, number)
        elif sys.platform == "linux":
            signal.pidfd_send_signal(fd, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        if fd is not None:
            os.close(fd)
    return True


def wait(who: Identity, seconds: float) -> bool:
    """Wait until a process has ended, at most so many seconds; tell whether it has."""
    deadline = time.monotonic() + seconds
    fd = hold(who)
    if fd is None:
        while alive(who):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_GLANCE)
        return True
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))
    finally:
        os.close(fd)


def rest(fds: Iterable[int], seconds: float) -> None:
    """Sleep until one of these can be read, at most so many seconds."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)


def terminate(who: Identity, grace: float) -> bool:
    """End a process, by SIGKILL where SIGTERM did not within ``grace`` seconds; tell whether it had been alive."""
    if not send(who, signal.SIGTERM):
        return False
    send(who, signal.SIGCONT)  # one that is frozen cannot hear
    if not wait(who, grace):
        send(who, signal.SIGKILL)
        wait(who, _PATIENCE_AFTER_KILL)
    return True


def descendants(of: Iterable[int], seen: Mapping[int, Sight]) -> set[Identity]:
    """Return all that stem from these pids, themselves not counted, zombies neither."""
    children: dict[int, list[Sight]] = {}
    for sight in seen.values():
        children.setdefault(sight.parent, []).append(sight)
    left, found = list(of), dict[int, Sight]()
    while left:
        for sight in children.get(left.pop(), ()):
            if sight.who.pid not in found:
                found[sight.who.pid] = sight
                left.append(sight.who.pid)
    return {sight.who for sight in found.values() if not sight.zombie}


def marked(prefix: str) -> dict[Identity, str]:
    """Return the living processes whose ``CAR_PROC`` begins so, and its value. Without /proc nobody is found."""
    if not HAS_PROC:
        return {}
    entry, found = f"{MARK}={prefix}".encode(), {}
    for who in filter(None, map(identify, _pids())):
        try:
            environment = (PROC / str(who.pid) / "environ").read_bytes()
        except OSError:  # gone, or not ours to read: then not ours to end
            continue
        value = next((part for part in environment.split(b"\0") if part.startswith(entry)), b"")
        # Alive before and after: then it was the same process between, and the environment is its own.
        if value and alive(who):
            found[who] = value.partition(b"=")[2].decode(errors="replace")
    return found


def forsaken(token: str) -> set[Identity]:
    """Return the processes of agents of the hub with this token whose custodian is dead.

    ``CAR_PROC`` is ``<hub token>.<custodian>.<process>``, and a custodian's id ends with its identity: so nothing but
    the mark itself is needed to know. A mark that says nothing of the kind is left alone.
    """
    found = set()
    for who, mark in marked(f"{token}.").items():
        custodian = read_identity(mark.split(".")[1])
        if custodian and not alive(custodian) and who.pid != os.getpid():
            found.add(who)
    return found


def reap(spare: Collection[int] = ()) -> dict[int, int]:
    """Take note of every child that has ended but those to ``spare``; return exit codes, negative for signals.

    Whoever adopts orphans has to do this: nobody else waits for them.
    """
    codes = {}
    for sight in table().values():
        if sight.parent == os.getpid() and sight.zombie and sight.who.pid not in spare:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(sight.who.pid, os.WNOHANG)
                if pid:
                    codes[pid] = os.waitstatus_to_exitcode(status)
    return codes


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies (child subreaper); Linux only."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Die by SIGKILL when the thread dies that made this process; at once where ``parent`` is gone. Linux only."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Record:
    """A process of ours as it is written into the hub's ``run`` folder. ``started_at`` is in seconds since 1970.

    ``leaving`` is true once it has been told to end. ``boot`` names the run of the machine that the pid belongs to.
    """

    name: str
    pid: int
    born: int
    argv: tuple[str, ...]
    started_at: float
    leaving: bool = False
    boot: str = ""

    @property
    def who(self) -> Identity:
        """Return who this is about."""
        return Identity(self.pid, self.born)


def describe_myself(name: str, argv: Iterable[str]) -> Record:
    """Return the record of this process."""
    me = myself()
    return Record(name, me.pid, me.born, tuple(argv), time.time(), boot=_boot())


def leaving(record: Record) -> Record:
    """Return the record of a process that has been told to end."""
    return replace(record, leaving=True)


def write(run: Path, record: Record) -> None:
    """Write a record; whoever reads meanwhile finds the old one or the new one, never a half."""
    draft = run / f".{record.name}.{os.getpid()}"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(asdict(record), file)
    draft.replace(run / f"{record.name}.json")


def read(run: Path, name: str) -> Record | None:
    """Read a record. One from before the machine was last started is as good as none: its pids mean nothing now."""
    try:
        fields = json.loads((run / f"{name}.json").read_text())
        record = Record(**{**fields, "argv": tuple(fields["argv"])})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    return record if record.boot == _boot() else None


def records(run: Path) -> tuple[Record, ...]:
    """Read every record, in the order of their names."""
    found = (read(run, path.stem) for path in sorted(run.glob("*.json")))
    return tuple(record for record in found if record)


def remove(run: Path, name: str) -> None:
    """Remove a record, where there is one."""
    (run / f"{name}.json").unlink(missing_ok=True)


def whereabouts() -> str:
    """Return where this process can be looked up: the run of its machine, the room of its pids there, and who it is."""
    return f"{_boot()}/{_pid_room()}/{myself()}"


def has_ended(whereabouts_: str) -> bool:
    """Tell whether a process has surely ended; of one that runs elsewhere nothing is known here."""
    room, _, who = whereabouts_.rpartition("/")
    identity = read_identity(who)
    return room == f"{_boot()}/{_pid_room()}" and identity is not None and not alive(identity)


def _pid_room() -> str:
    try:
        return (PROC / "self/ns/pid").readlink().name
    except OSError:
        return ""


def _boot() -> str:
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
