"""What the runtime and the machines say: watching, what could not be delivered, who is alive, processes in custody."""

from datetime import datetime

from protocol.address import Address
from protocol.message import Command, Event, Part, Query, View
from protocol.work import Work


class Watch(Command):
    """Tell the watcher (the sender, where none is named) every event that this actor publishes."""

    watcher: Address | None = None


class Unwatch(Command):
    """Tell the watcher no more."""

    watcher: Address | None = None


class Fired(Event):
    """A timer is due: what it says lies in the record of its actor."""


class Due(Event):
    """What an actor says to itself by a timer; ``timer`` is the timer's name."""

    timer: str


class Undelivered(Event):
    """A message of this actor was given up: it never reached its receiver and never will."""

    to: Address
    id: str
    why: str


class Refusal(Event):
    """What was asked is not done. ``text`` says why and what to do instead.

    ``unable`` is true where it is not the asker's fault and may pass.
    """

    text: str
    unable: bool = False


class Quarantined(Event):
    """An actor failed too often; its mail is parked until a person lets it go on."""

    text: str


class Release(Command):
    """Let an actor that rests go on: it hears its mail again, and its failures are forgotten."""


class Lease(Part):
    """What a host says of itself for as long as it lives.

    ``name`` is ``<node>.<n>``. ``who`` is its process as others on the same machine can look it up. ``release`` is the
    version of the program, ``reads`` the newest version of the record of each kind that it reads; ``declines`` are the
    shards that it leaves to newer hosts.
    """

    name: str
    node: str
    who: str
    release: str
    reads: dict[str, int]
    since: datetime
    declines: tuple[int, ...] = ()


class Spawn(Work):
    """Start a process and keep it. A repeated spawn of the same ``proc`` finds the one that runs.

    ``inherit`` names variables of the custodian's own environment that are passed on; no secret is in this message.
    """

    proc: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = {}
    inherit: tuple[str, ...] = ()


class Spawned(Event):
    """The process runs. ``born`` is its start time in clock ticks since the machine started."""

    proc: str
    custodian: str
    pid: int
    born: int


class SpawnFailed(Event):
    """The process could not be started."""

    proc: str
    why: str


class Exited(Event):
    """The process is gone, and with it everything that it had started.

    ``code`` is its exit code, negative for a signal; ``lines`` is the number of its last line of stdout;
    ``lost`` is true where its custodian died and nobody saw its end.
    """

    proc: str
    code: int
    lines: int
    err: str = ""
    lost: bool = False


class Signal(Work):
    """Send a signal (a name such as ``SIGINT``) to a process in custody."""

    proc: str
    signal: str


class End(Work):
    """End a process and its whole tree: close stdin, then SIGTERM, then SIGKILL, ``grace`` seconds for each step."""

    proc: str
    grace: float = 3.0


class Heeded(Event):
    """The process has been told; its end is told by ``Exited``."""

    proc: str


class ListCustody(Query):
    """Which processes does the custodian of this machine hold?"""


class Ward(Part):
    """One process in custody, and the session that it belongs to."""

    proc: str
    session: Address


class Custody(View):
    """The processes in custody."""

    custodian: str
    wards: tuple[Ward, ...] = ()
