"""What an agent is told and what it is heard to say, whatever protocol it speaks.

A ``Tell`` becomes one or more lines on the agent's stdin, kept as one message; ``number`` counts these from 1 and is
given by the session.
A ``Fact`` was read off one line of its stdout; ``line`` is the number of that line.
"""

from typing import Literal

from protocol.message import Event, Part
from protocol.work import Work

Driver = Literal["acp", "codex"]
Trouble = Literal[
    "missing", "died", "lost", "nonsense", "sandbox", "auth", "quota", "network", "context", "refused", "bug"
]


class Usage(Part):
    """Tokens of one turn."""

    input: int = 0
    cached: int = 0
    output: int = 0


class Find(Work):
    """Find out how an agent is started on this machine."""

    agent: str


class Found(Event):
    """How it is started. ``inherit`` names the variables that it needs of the environment."""

    agent: str
    driver: Driver
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    inherit: tuple[str, ...] = ()
    sandbox: str = ""


class Attach(Work):
    """Listen to a process from where its session left off, and tell the session every fact from there on.

    ``snapshot`` is the driver's machine after PROC sequence ``position``; both are empty at the start.
    """

    proc: str
    driver: Driver
    heard: int = 0
    snapshot: str = ""
    position: int = 0


class Attached(Event):
    """Somebody listens."""

    proc: str


class Detach(Work):
    """The conversation is over: nobody needs to listen, and what was said may be forgotten."""

    proc: str


class Detached(Event):
    """Nobody listens any more."""

    proc: str


class Tell(Work):
    """Something for the agent's stdin."""

    proc: str
    number: int


class Told(Event):
    """It is kept; the custodian writes it when its turn comes."""

    proc: str
    number: int


class Initialize(Tell):
    """Open the conversation."""

    client: str = "car"


class OpenThread(Tell):
    """Begin a conversation in a checkout. ``writable`` are folders outside of it that may be written."""

    cwd: str
    model: str = ""
    sandbox: str = ""
    writable: tuple[str, ...] = ()


class StartTurn(Tell):
    """Let the agent work on a prompt."""

    turn: str
    text: str
    model: str = ""
    effort: str = ""


class CancelTurn(Tell):
    """Let the agent stop what it does."""


class Permit(Tell):
    """Answer a question for permission with one of its options; an empty one refuses."""

    request: str
    option: str


class GiveText(Tell):
    """Hand over the text of a file that the agent wanted to read."""

    request: str
    text: str


class Confirm(Tell):
    """Say that a request of the agent's is done."""

    request: str


class Deny(Tell):
    """Say that a request of the agent's is not done, and why."""

    request: str
    why: str


class Fact(Event):
    """Something the agent was heard to say."""

    proc: str
    line: int


class Greeted(Fact):
    """The conversation is open. ``agent`` is what the agent calls itself."""

    agent: str = ""


class ThreadOpened(Fact):
    """There is a conversation."""

    thread: str


class TurnBegan(Fact):
    """The agent works."""

    turn: str


class Acted(Fact):
    """The agent used a tool. ``state`` tells how far that is."""

    title: str
    kind: str = ""
    state: Literal["began", "done", "failed"] = "done"


class Option(Part):
    """One answer to a question for permission."""

    id: str
    kind: Literal["allow_once", "allow_always", "reject_once", "reject_always"]
    label: str = ""


class PermissionAsked(Fact):
    """The agent wants to do something. ``paths`` are those that it names; none where it names none."""

    request: str
    title: str
    kind: str = ""
    paths: tuple[str, ...] = ()
    options: tuple[Option, ...] = ()


class FileWanted(Fact):
    """The agent wants to read a file through us."""

    request: str
    path: str
    at: int = 1
    limit: int = 0


class FileOffered(Fact):
    """The agent wants to write a file through us."""

    request: str
    path: str
    text: str


class Unsupported(Fact):
    """The agent wants something that we do not do."""

    request: str
    method: str


class TurnOver(Fact):
    """The agent put its tools down. ``text`` is what it wrote; ``snapshot`` the machine after PROC ``position``."""

    turn: str
    outcome: Literal["done", "interrupted", "failed"]
    text: str = ""
    usage: Usage = Usage()
    trouble: Trouble | None = None
    error: str = ""
    snapshot: str = ""
    position: int = 0


class Stumbled(Fact):
    """The agent answered a request of ours with an error, or said what nobody understands."""

    trouble: Trouble
    error: str


class Caught(Fact):
    """Every line up to this one is heard."""
