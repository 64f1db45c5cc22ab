"""What workers are asked, and what they answer: git, tickets, dispatches, files."""

from typing import ClassVar, Literal

from protocol.message import Command, Event, Part


class Work(Command):
    """Something to be done on one machine: short, and harmless when it comes twice."""

    deadline: ClassVar[float] = 60.0
    """Seconds after which the worker gives up and says ``Failed``."""


class Failed(Event):
    """A tool failed. ``what`` is one sentence fit for a card, ``output`` what the tool printed (its end)."""

    what: str
    output: str = ""


# git


class Probe(Work):
    """Find out whether a path lies in a git checkout."""

    path: str


class Probed(Event):
    """The top folder of the checkout, and where it stands."""

    path: str
    branch: str
    head: str


class Inspect(Work):
    """Look at a checkout: where it stands, and what has changed since a commit (or nothing, to leave that out)."""

    checkout: str
    since: str = ""


class Commit(Part):
    """One commit."""

    id: str
    subject: str


class Diffstat(Part):
    """How much changed."""

    files: int = 0
    insertions: int = 0
    deletions: int = 0


class Tree(Event):
    """Where a checkout stands. ``head`` is empty before the first commit; ``dirty`` are paths, relative to the top."""

    head: str
    branch: str
    dirty: tuple[str, ...] = ()
    commits: tuple[Commit, ...] = ()
    diffstat: Diffstat = Diffstat()


# tickets


class Prepare(Work):
    """Make the folders of a run (and, in a new checkout, the folder of CAR itself), where they are missing."""

    checkout: str
    run: str = ""


class Prepared(Event):
    """The folders are there."""


class Look(Work):
    """Read the tickets and the workspace documents of a checkout."""

    checkout: str


class Ticket(Part):
    """One ticket as it stands on disk. ``path`` is relative to the checkout; one with problems counts as not done."""

    path: str
    number: int
    title: str = ""
    agent: str = ""
    done: bool = False
    model: str = ""
    effort: str = ""
    text: str = ""
    problems: tuple[str, ...] = ()


class Document(Part):
    """A text that people and agents share. ``path`` is relative to the checkout."""

    path: str
    text: str


class Seen(Event):
    """The tickets in order, the documents, and what is wrong with the folder as a whole."""

    tickets: tuple[Ticket, ...] = ()
    documents: tuple[Document, ...] = ()
    problems: tuple[str, ...] = ()


class Write(Work):
    """Make a new ticket with the next free number at the end of the queue.

    ``key`` names this wish (a derived id): a ticket that bears it is found again and not made twice.
    """

    checkout: str
    title: str
    agent: str
    body: str = ""
    key: str = ""


class Written(Event):
    """The ticket is there."""

    path: str


# dispatches and replies


class Collect(Work):
    """Put what the agent has dispatched into the numbered history, under ``number``."""

    checkout: str
    run: str
    number: int


class Collected(Event):
    """What was dispatched (``mode`` is ``none`` where nothing was), or what is wrong with it."""

    mode: Literal["none", "notify", "pause"] = "none"
    title: str = ""
    body: str = ""
    files: tuple[str, ...] = ()
    problem: str = ""


class Note(Work):
    """Keep a person's reply in the numbered history, under ``number``."""

    checkout: str
    run: str
    number: int
    text: str


class Noted(Event):
    """The reply is kept. ``path`` is relative to the checkout."""

    path: str


# files


class ReadFile(Work):
    """Read a text file inside a checkout; ``line`` counts from 1, ``limit`` is a number of lines."""

    checkout: str
    path: str
    line: int = 1
    limit: int = 0


class FileText(Event):
    """The text that was asked for."""

    text: str


class WriteFile(Work):
    """Write a text file inside a checkout, with the folders that it needs."""

    checkout: str
    path: str
    text: str


class FileWritten(Event):
    """The file is written."""
