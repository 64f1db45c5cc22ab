"""What may be said to a flow run, and what it says: tickets worked through, one agent turn at a time."""

from typing import Literal

from protocol.address import Address
from protocol.agent import Usage
from protocol.message import Command, Event, Part, Query, View
from protocol.session import Place
from protocol.work import Commit, Diffstat

Status = Literal["starting", "running", "paused", "stopping", "stopped", "completed", "refused"]
Code = Literal[
    "question", "user_ticket", "needs_fix", "max_turns", "no_tickets", "agent", "sandbox", "worker", "interrupted"
]


class Limits(Part):
    """How long a run may try before it asks a person."""

    turns: int = 50
    lint_repairs: int = 3
    commit_repairs: int = 2


class Start(Command):
    """Work through the tickets of a checkout. ``agent`` (where given) takes the place of the tickets' own."""

    repo: str
    place: Place
    agent: str = ""
    limits: Limits = Limits()


class Resume(Command):
    """Go on from where the run paused. ``reply`` is a person's answer to what was asked."""

    reply: str = ""


class Pause(Command):
    """Interrupt the turn and wait; ``reason`` is shown to people."""

    reason: str


class Stop(Command):
    """Interrupt the turn and end the run."""


class RunStarted(Event):
    """The checkout is clean and the work begins."""

    repo: str
    tickets: int
    done: int


class TicketChosen(Event):
    """The next ticket."""

    ticket: str
    title: str
    number: int
    agent: str


class TurnBegun(Event):
    """An agent turn on a ticket; ``session`` is where its words can be followed."""

    ticket: str
    turn: int
    agent: str
    session: Address
    why: Literal["work", "lint", "commit", "reply"] = "work"


class TurnDone(Event):
    """An agent turn is over; ``said`` is the end of what the agent wrote."""

    ticket: str
    turn: int
    said: str = ""
    usage: Usage = Usage()
    commits: tuple[Commit, ...] = ()
    diffstat: Diffstat = Diffstat()
    prompt_bytes: int = 0


class TicketDone(Event):
    """One ticket is finished and its work is committed."""

    ticket: str
    title: str
    done: int
    total: int


class Told(Event):
    """The agent has something to say to people; it goes on working."""

    ticket: str
    title: str
    body: str


class RunPaused(Event):
    """The run waits for a person. ``reason`` says what for, ``body`` is the question in full."""

    code: Code
    reason: str
    body: str = ""
    ticket: str = ""
    repo: str = ""


class RunResumed(Event):
    """The run goes on."""

    reply: str = ""


class RunStopped(Event):
    """The run was ended by a person."""


class RunCompleted(Event):
    """No ticket is left."""

    done: int
    turns: int
    commits: tuple[Commit, ...] = ()
    diffstat: Diffstat = Diffstat()
    seconds: float = 0.0


class RunRefused(Event):
    """The run did not begin; nothing was changed."""

    reason: str


class DescribeRun(Query):
    """How does it stand with this run?"""


class RunView(View):
    """How it stands."""

    run: str
    repo: str
    status: Status
    code: Code | None = None
    reason: str = ""
    body: str = ""
    ticket: str = ""
    title: str = ""
    agent: str = ""
    session: Address | None = None
    done: int = 0
    total: int = 0
    turns: int = 0
    started_at: str = ""
    since: str = ""
    usage: Usage = Usage()
    commits: tuple[Commit, ...] = ()
    diffstat: Diffstat = Diffstat()
