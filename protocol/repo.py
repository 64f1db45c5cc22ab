"""What may be said to a repository, and what it says: one checkout, its tickets, its one active run."""

from protocol.address import Address
from protocol.flow import Limits, RunView
from protocol.message import Command, Event, Query, View
from protocol.session import Place
from protocol.work import Ticket


class Adopt(Command):
    """Be the actor of this checkout."""

    birth = True
    place: Place


class StartFlow(Command):
    """Work through the tickets. While a run is active, this finds it and starts no second one."""

    agent: str = ""
    limits: Limits = Limits()


class ResumeFlow(Command):
    """Let the paused run go on."""

    reply: str = ""


class StopFlow(Command):
    """End the active run."""


class PauseFlow(Command):
    """Interrupt the active run, if there is one, and let it wait."""

    reason: str


class Talk(Command):
    """Say something to whoever works in the checkout: the answer to a question, or a turn of a free session."""

    text: str
    agent: str = ""


class ListTickets(Command):
    """Read the tickets from disk."""


class AddTicket(Command):
    """Make a new ticket at the end of the queue."""

    title: str
    agent: str
    body: str = ""


class FlowAccepted(Event):
    """The active run has been told. ``fresh`` is true where this command made the run."""

    repo: str
    run: str
    fresh: bool = False


class TalkAccepted(Event):
    """The words have reached a session (or, where ``run`` is named, the run that had asked)."""

    repo: str
    session: Address | None = None
    turn: str = ""
    run: str = ""


class Tickets(Event):
    """The tickets as they stand on disk, and what is wrong with the folder."""

    tickets: tuple[Ticket, ...]
    problems: tuple[str, ...] = ()


class TicketAdded(Event):
    """The ticket is there. ``path`` is relative to the checkout."""

    path: str


class DescribeRepo(Query):
    """How does it stand with this repository?"""


class RepoView(View):
    """How it stands. ``run`` is the active run, or the last one."""

    repo: str
    place: Place
    run: str = ""
    active: bool = False
    busy: bool = False


class FlowState(View):
    """A repository together with its newest run, as the commands of the operator print it."""

    repo: RepoView
    run: RunView | None = None
