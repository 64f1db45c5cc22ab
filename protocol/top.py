"""What an operator sees of a house at work: its hosts, its mailboxes, its streams, and what does not go on."""

from datetime import datetime

from protocol.dead import Resting
from protocol.message import Part, Query, View


class DescribeRuntime(Query):
    """How does it stand with the hosts, the mailboxes and the streams?"""


class HostView(View):
    """What a host says of itself: ``awake`` counts its actors, ``shards`` are those whose mail it reads.

    ``seats`` is what it reads besides: the fired timers, the commands of workers. ``cpu`` is in seconds since it
    started, ``memory`` in bytes.
    """

    lease: str
    node: str
    release: str
    since: datetime
    pid: int
    awake: int
    cpu: float
    memory: int
    shards: tuple[int, ...] = ()
    seats: tuple[str, ...] = ()


class HostEntry(Part):
    """One host that has a lease; ``says`` is what it answered, or nothing where it did not."""

    lease: str
    node: str
    release: str
    since: datetime
    says: HostView | None = None


class Mailbox(Part):
    """A mailbox with mail in it; ``age`` is that of the oldest, in seconds."""

    who: str
    waiting: int
    age: float = 0.0


class StreamEntry(Part):
    """One stream: ``bound`` is how many bytes it may hold (0: no bound), ``consumers`` counts who read it."""

    name: str
    subjects: tuple[str, ...]
    messages: int
    bytes: int
    bound: int
    consumers: int
    oldest: datetime | None = None


class ConsumerEntry(Part):
    """One reader's place in a stream: what ``waits`` for it, and what it has in hand (``taken``) and not acknowledged.

    ``asks`` counts its open requests for more: nobody reads where there is none.
    """

    name: str
    subjects: tuple[str, ...]
    waits: int
    taken: int
    again: int
    asks: int
    active: datetime | None = None


class RuntimeView(View):
    """How it stands at ``at``, by the server's clock.

    ``waiting`` counts all mails, ``mailboxes`` those that hold any, ``deepest`` are the fullest of them; with
    ``partial`` there were too many to look at all. ``unread`` are shards that no host reads.
    """

    at: datetime
    hosts: tuple[HostEntry, ...] = ()
    unread: tuple[int, ...] = ()
    waiting: int = 0
    mailboxes: int = 0
    deepest: tuple[Mailbox, ...] = ()
    partial: bool = False
    streams: tuple[StreamEntry, ...] = ()
    dead: int = 0
    resting: tuple[Resting, ...] = ()
