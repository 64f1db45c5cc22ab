"""A model of a git checkout, and what the workers of its machine find and keep there."""

from dataclasses import dataclass, field

from protocol.message import Event
from protocol.work import (
    Collect,
    Collected,
    Commit,
    Diffstat,
    Document,
    Failed,
    Inspect,
    Look,
    Note,
    Noted,
    Prepare,
    Prepared,
    Probe,
    Probed,
    Seen,
    Ticket,
    Tree,
    Work,
    Write,
    Written,
)

BASE = "c000000"
"""The commit on which everything stands that a story does."""


def ticket(number: int, title: str, **facts: object) -> Ticket:
    path = f".codex-autorunner/tickets/TICKET-{number:03d}.md"
    text = f"---\nagent: demo\ndone: false\ntitle: {title}\n---\n{title}.\n"
    return Ticket(**{"path": path, "number": number, "title": title, "agent": "demo", "text": text, **facts})


@dataclass
class Checkout:
    """What would be on disk. ``broken`` names a kind of command that fails, and with which words."""

    path: str
    tickets: dict[str, Ticket] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()
    dirty: tuple[str, ...] = ()
    commits: list[Commit] = field(default_factory=list)
    dispatch: Collected = field(default_factory=Collected)
    history: dict[tuple[str, int], Collected] = field(default_factory=dict)
    notes: dict[tuple[str, int], str] = field(default_factory=dict)
    broken: dict[type[Work], str] = field(default_factory=dict)

    @property
    def head(self) -> str:
        return self.commits[-1].id if self.commits else BASE

    def edit(self, path: str) -> None:
        self.dirty = tuple(dict.fromkeys((*self.dirty, path)))

    def commit(self, subject: str) -> None:
        self.commits.append(Commit(id=f"c{len(self.commits) + 1:06d}", subject=subject))
        self.dirty = ()

    def change(self, path: str, **facts: object) -> None:
        self.tickets[path] = self.tickets[path].model_copy(update=facts)

    def do(self, command: Work) -> Event:  # one for each command
        if why := self.broken.get(type(command)):
            return Failed(what=why)
        match command:
            case Probe():
                return Probed(path=self.path, branch="main", head=self.head)
            case Prepare():
                return Prepared()
            case Look():
                return Seen(tickets=tuple(self.tickets.values()), documents=self.documents)
            case Inspect(since=since):
                return self._tree(since)
            case Collect(run=run, number=number):
                return self._collect((run, number))
            case Note(run=run, number=number, text=text):
                if self.notes.setdefault((run, number), text) != text:
                    return Failed(what=f"reply {number} is another one already")
                return Noted(path=f".codex-autorunner/runs/{run}/reply_history/{number:04d}/USER_REPLY.md")
            case Write(title=title, agent=agent):
                made = ticket(len(self.tickets) + 1, title, agent=agent)
                self.tickets[made.path] = made
                return Written(path=made.path)
        raise AssertionError(command)

    def _tree(self, since: str) -> Tree:
        new = tuple(self.commits[int(since[1:]) :]) if since else ()
        stat = Diffstat(files=len(new), insertions=10 * len(new))
        return Tree(head=self.head, branch="main", dirty=self.dirty, commits=new, diffstat=stat)

    def _collect(self, key: tuple[str, int]) -> Collected:
        if key in self.history:
            return self.history[key]
        found, self.dispatch = self.dispatch, Collected()
        if found.mode != "none":
            self.history[key] = found
        return found
