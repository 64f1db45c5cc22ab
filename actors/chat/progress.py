"""What a room knows of the runs and turns that it follows: folded from their events, shown by the cards."""

from dataclasses import dataclass, replace
from typing import Literal

from protocol.address import Address
from protocol.flow import (
    RunCompleted,
    RunPaused,
    RunResumed,
    RunStarted,
    RunStopped,
    RunView,
    Status,
    TicketChosen,
    TicketDone,
    TurnBegun,
    TurnDone,
)
from protocol.message import Event
from protocol.session import ToolUsed, TurnStarted

TOOLS = 3
"""So many tools of a turn are shown, the newest."""
FINISHED = 10
"""So many finished tickets are named, the newest."""
TITLE = 100


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that an agent uses or has used."""

    title: str
    state: Literal["began", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A run as far as its events have told.

    ``working`` is true while an agent has its turn in ``session``, ``asks`` while the run waits for an answer.
    """

    run: str
    repo: str = ""
    status: Status = "starting"
    title: str = ""
    agent: str = ""
    why: Literal["work", "lint", "commit", "reply"] = "work"
    done: int = 0
    total: int = 0
    turn: int = 0
    session: Address | None = None
    working: bool = False
    asks: bool = False
    tools: tuple[Tool, ...] = ()
    finished: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Talking:
    """A turn of a free session that this room has asked for."""

    turn: str
    repo: str
    session: Address | None = None
    agent: str = ""
    begun: bool = False
    over: bool = False
    tools: tuple[Tool, ...] = ()


def fold(known: Progress, event: Event) -> Progress:  # noqa: PLR0911  # one for each event
    """Return what is known of a run after one more event."""
    match event:
        case RunStarted(repo=repo, tickets=tickets, done=done):
            return replace(known, repo=repo, status="running", total=tickets, done=done)
        case TicketChosen(ticket=ticket, title=title, agent=agent):
            return replace(known, status="running", title=line(title or ticket), agent=agent, tools=())
        case TurnBegun(turn=turn, agent=agent, session=session, why=why):
            begun = replace(known, turn=turn, agent=agent, session=session, why=why)
            return replace(begun, status="running", working=True, asks=False, tools=())
        case TurnDone(turn=turn):
            return replace(known, turn=turn, working=False)
        case TicketDone(ticket=ticket, title=title, done=done, total=total):
            finished = (*known.finished, line(title or ticket))[-FINISHED:]
            return replace(known, done=done, total=total, working=False, finished=finished)
        case RunResumed():
            return replace(known, status="running", asks=False)
    return _end(known, event)


def _end(known: Progress, event: Event) -> Progress:
    """Let no agent work any more in a run that waits or is over."""
    match event:
        case RunPaused(code=code, repo=repo):
            waits = replace(known, status="paused", working=False, asks=code == "question")
            return replace(waits, repo=repo or known.repo)
        case RunStopped():
            return replace(known, status="stopped", working=False, asks=False)
        case RunCompleted(done=done):
            return replace(known, status="completed", working=False, done=max(done, known.done))
    return known


def use(tools: tuple[Tool, ...], event: ToolUsed) -> tuple[Tool, ...]:
    """Return the tools to be shown after one more was used; what had begun is replaced when it ends."""
    tool = Tool(line(event.title), event.state)
    return (*(one for one in tools if one != Tool(tool.title, "began")), tool)[-TOOLS:]


def begin(known: Talking, event: TurnStarted, session: Address) -> Talking:
    """Return what is known of a free turn once the agent works on it."""
    return replace(known, agent=event.agent, session=session, begun=True)


def learn(known: Progress, view: RunView) -> Progress:
    """Return what is known of a run after it was asked."""
    return replace(
        known,
        repo=view.repo,
        status=view.status,
        title=line(view.title or view.ticket),
        agent=view.agent,
        done=view.done,
        total=view.total,
        turn=view.turns,
        session=view.session,
        working=view.status == "running" and view.session is not None,
        asks=view.status == "paused" and view.code == "question",
    )


def line(text: str, limit: int = TITLE) -> str:
    """Make one line of any text, short enough, and without what would be taken for markup."""
    text = " ".join(text.split()).replace("`", "'").replace("**", "*")
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
