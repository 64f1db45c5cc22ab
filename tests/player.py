"""An agent that plays a script: one deed after the other, and for each a line, as its listener would read it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from protocol.address import Address
from protocol.agent import (
    Acted,
    CancelTurn,
    Fact,
    Greeted,
    Initialize,
    OpenThread,
    Option,
    PermissionAsked,
    Permit,
    StartTurn,
    Tell,
    ThreadOpened,
    Trouble,
    TurnBegan,
    TurnOver,
    Usage,
)
from protocol.work import Collected
from tests.checkout import Checkout


@dataclass(frozen=True)
class Say:
    """Write words: a line of which no fact is made."""

    text: str


@dataclass(frozen=True)
class Use:
    """Use a tool."""

    title: str


@dataclass(frozen=True)
class Edit:
    path: str


@dataclass(frozen=True)
class Commit:
    subject: str


@dataclass(frozen=True)
class Finish:
    """Write ``done: true`` into the ticket."""


@dataclass(frozen=True)
class Spoil:
    """Break the head of the ticket."""

    problem: str


@dataclass(frozen=True)
class Mend:
    """Mend the head of the ticket."""


@dataclass(frozen=True)
class Dispatch:
    """Tell or ask people something."""

    mode: Literal["notify", "pause"]
    title: str
    body: str = ""


@dataclass(frozen=True)
class Sleep:
    """Take time."""

    seconds: float


@dataclass(frozen=True)
class Ask:
    """Ask for permission, and wait for it."""

    title: str
    path: str


@dataclass(frozen=True)
class Fail:
    """End the turn with an error."""

    trouble: Trouble
    error: str


@dataclass(frozen=True)
class Die:
    """End the process."""

    code: int
    err: str = ""


@dataclass(frozen=True)
class Quit:
    """End the turn, and the process right after it."""


@dataclass(frozen=True)
class Resist:
    """Hear no interruption from now on."""


@dataclass(frozen=True)
class Vanish:
    """Take the custodian of the machine along."""


Work: TypeAlias = Edit | Commit | Finish | Spoil | Mend | Dispatch
Deed: TypeAlias = Work | Say | Use | Sleep | Ask | Fail | Die | Quit | Resist | Vanish


@dataclass(frozen=True)
class Person:
    """For whom an agent plays: its process, its session, its checkout."""

    proc: str
    session: Address
    checkout: Checkout


@dataclass
class Player:
    """One agent process. ``lines`` holds the facts of each line of its stdout, ``told`` counts what it has read."""

    role: Person
    script: Callable[[StartTurn], tuple[str, tuple[Deed, ...]]]
    told: int = 0
    lines: list[tuple[Fact, ...]] = field(default_factory=list)
    turn: str = ""
    ticket: str = ""
    text: str = ""
    todo: deque[Deed] = field(default_factory=deque)
    until: datetime | None = None
    asks: str = ""
    alive: bool = True
    mute: bool = False
    resists: bool = False

    def hear(self, command: Tell) -> None:
        """Read what was written to stdin: each number once, and none before its turn."""
        if command.number <= self.told or not self.alive:
            return
        assert command.number == self.told + 1, (command, self.told)
        self.told = command.number
        if self.mute:
            return
        match command:
            case Initialize():
                self._line(Greeted, agent="Demo 1")
            case OpenThread():
                self._line(ThreadOpened, thread="t1")
            case StartTurn():
                assert not self.turn, "two turns at the same time"
                self.turn, self.text = command.turn, ""
                self.ticket, deeds = self.script(command)
                self.todo = deque(deeds)
                self._line(TurnBegan, turn=command.turn)
            case CancelTurn() if self.turn and not self.resists:
                self._over(outcome="interrupted", error="The agent was interrupted")
            case Permit(request=request, option=option) if request == self.asks:
                self.asks = ""
                self.text += f"[{option}]"

    def ready(self, now: datetime) -> bool:
        """Tell whether there is something to do now."""
        return self.alive and bool(self.turn) and not self.asks and (self.until is None or self.until <= now)

    def act(self, now: datetime) -> Deed | None:
        """Do the next deed and return it; when there is none left the turn is over."""
        self.until = None
        if not self.todo:
            self._over(outcome="done")
            return None
        deed = self.todo.popleft()
        match deed:
            case Say(text=text):
                self.text += text
                self.lines.append(())
            case Use(title=title):
                self._line(Acted, title=title)
            case Sleep(seconds=seconds):
                self.until = now + timedelta(seconds=seconds)
            case Ask(title=title, path=path):
                self.asks = f"ask-{len(self.lines)}"
                yes, no = Option(id="yes", kind="allow_once"), Option(id="no", kind="reject_once")
                self._line(PermissionAsked, request=self.asks, title=title, paths=(path,), options=(yes, no))
            case Quit():
                self._over(outcome="done")
            case Resist():
                self.resists = True
            case Fail(trouble=trouble, error=error):
                self._over(outcome="failed", trouble=trouble, error=error)
            case _:
                self._work(deed)
        return deed

    def _work(self, deed: Deed) -> None:
        checkout = self.role.checkout
        match deed:
            case Edit(path=path):
                checkout.edit(path)
            case Commit(subject=subject):
                checkout.commit(subject)
            case Finish():
                checkout.change(self.ticket, done=True)
            case Spoil(problem=problem):
                checkout.change(self.ticket, done=False, problems=(problem,))
            case Mend():
                checkout.change(self.ticket, problems=())
            case Dispatch(mode=mode, title=title, body=body):
                checkout.dispatch = Collected(mode=mode, title=title, body=body)

    def _over(self, **how: object) -> None:
        usage = Usage(input=100, output=10)
        self._line(TurnOver, turn=self.turn, text=self.text, usage=usage, snapshot="{}", position=1, **how)
        self.turn, self.until, self.asks = "", None, ""
        self.todo.clear()

    def _line(self, kind: type[Fact], **said: object) -> None:
        self.lines.append((kind(proc=self.role.proc, line=len(self.lines) + 1, **said),))


def work(subject: str, *before: Deed) -> tuple[Deed, ...]:
    """Return a turn that does a ticket as it should be done."""
    return (*before, Use(f"edit {subject}"), Edit(f"{subject}.py"), Commit(subject), Finish(), Say(f"Did {subject}."))
