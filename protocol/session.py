"""What may be said to an agent session, and what it says: one conversation with one agent."""

from typing import Literal

from protocol.agent import Trouble, Usage
from protocol.message import Command, Event, Part, Query, View

Status = Literal["starting", "idle", "working", "closing", "closed"]
Outcome = Literal["done", "interrupted", "failed"]


class Place(Part):
    """A checkout: on which machine, and where there."""

    node: str
    path: str


class Open(Command):
    """Start an agent in a checkout and keep it for the turns to come."""

    birth = True
    agent: str
    place: Place


class Prompt(Command):
    """Let the agent work for one turn. ``turn`` names it; the same turn is taken once."""

    turn: str
    text: str
    model: str = ""
    effort: str = ""


class Interrupt(Command):
    """Let the agent stop its turn."""


class Close(Command):
    """End the agent and everything that it started."""


class TurnStarted(Event):
    """The agent works on a prompt."""

    turn: str
    agent: str


class ToolUsed(Event):
    """The agent used a tool."""

    turn: str
    title: str
    state: Literal["began", "done", "failed"]


class PermissionGiven(Event):
    """What the agent wanted to do was decided by policy."""

    title: str
    allowed: bool


class TurnEnded(Event):
    """The turn is over, in whatever way. ``error`` is one sentence where it failed."""

    turn: str
    outcome: Outcome
    text: str = ""
    usage: Usage = Usage()
    trouble: Trouble | None = None
    error: str = ""


class Closed(Event):
    """The agent is gone, and everything that it had started."""

    error: str = ""


class DescribeSession(Query):
    """How does it stand with this session?"""


class SessionView(View):
    """How it stands. ``heard`` is the last line of the agent that was handled."""

    agent: str
    status: Status
    proc: str = ""
    driver: Literal["acp", "codex", ""] = ""
    pid: int = 0
    born: int = 0
    heard: int = 0
    snapshot: str = ""
    position: int = 0
    turn: str = ""
    since: str = ""
    place: Place | None = None
