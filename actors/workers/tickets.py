"""The hands for tickets: they make the folders, read the queue with its lint, and add tickets to it."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from actors.runtime.worker import Worker, does
from actors.workers import disk
from protocol import frontmatter, ticket
from protocol.errors import Unreadable, WorkFailed
from protocol.work import Document, Look, Prepare, Prepared, Seen, Ticket, Write, Written

_TICKETS = f"{disk.CAR}/tickets"
_DOCUMENTS = tuple(f"{disk.CAR}/workspace/{name}.md" for name in ("active_context", "decisions", "spec"))
_RUN_FOLDERS = ("dispatch", "dispatch_history", "reply", "reply_history")
_KEY = "id"
"""The key in the head of a ticket that names the command which made it."""

_DOCUMENT_LIMIT = 64_000
_TEXTS = 1_000_000
"""Characters of all tickets' texts together, so that what was seen fits in one message."""


def worker(agents: Callable[[], frozenset[str]], *needed: Path, reserve: int = disk.RESERVE) -> Worker:
    """Return the worker; ``agents`` returns those whom a ticket may name now (besides ``user``).

    A run begins only where its disk, and that of each folder ``needed``, has the reserve left.
    """
    return Worker(
        "tickets",
        dict(
            (
                does(Prepare, disk.in_thread(partial(_prepare, needed=needed, reserve=reserve))),
                does(Look, disk.in_thread(partial(_look, agents=agents))),
                does(Write, disk.in_thread(partial(_write, agents=agents))),
            )
        ),
    )


def _prepare(command: Prepare, needed: tuple[Path, ...], reserve: int) -> Prepared:
    checkout = disk.checkout(command.checkout)
    if command.run:
        for folder in (checkout, *needed):
            disk.want_room(folder, reserve)
    _make_folders(checkout)
    if command.run:
        for name in _RUN_FOLDERS:
            (disk.run_folder(command.checkout, command.run) / name).mkdir(parents=True, exist_ok=True)
    return Prepared()


def _make_folders(checkout: Path) -> None:
    """Make the folder of CAR, and have git ignore it before there is anything in it to be seen."""
    (checkout / disk.CAR).mkdir(exist_ok=True)
    ignore = checkout / disk.CAR / ".gitignore"
    if not ignore.exists():
        with suppress(FileExistsError):
            disk.write(ignore, "*\n", fresh=True)
    for name in ("tickets", "workspace"):
        (checkout / disk.CAR / name).mkdir(exist_ok=True)


def _look(command: Look, agents: Callable[[], frozenset[str]]) -> Seen:
    checkout = disk.checkout(command.checkout)
    names = _names(checkout)
    known = agents()
    tickets = tuple(_read(checkout, name, known) for name in ticket.queue(names))
    documents = tuple(_document(checkout, path) for path in _DOCUMENTS if (checkout / path).is_file())
    return Seen(tickets=_lightened(tickets), documents=documents, problems=ticket.complaints(names))


def _names(checkout: Path) -> tuple[str, ...]:
    """Return the names of all files in the folder of tickets; there may be no such folder yet."""
    folder = checkout / _TICKETS
    if not folder.exists():
        return ()
    return tuple(sorted(entry.name for entry in folder.iterdir() if not entry.is_dir()))


def _read(checkout: Path, name: str, agents: frozenset[str]) -> Ticket:
    path = f"{_TICKETS}/{name}"
    try:
        return ticket.read(path, disk.read(checkout / path), agents)
    except Unreadable as error:
        return ticket.unread(path, str(error))
    except OSError as error:
        return ticket.unread(path, disk.sentence(error))


def _document(checkout: Path, path: str) -> Document:
    """Read the beginning of a document: it is told to agents, so a fault in it is no reason to stop."""
    with (checkout / path).open("rb") as file:
        return Document(path=path, text=file.read(_DOCUMENT_LIMIT).decode(errors="replace"))


def _lightened(tickets: tuple[Ticket, ...]) -> tuple[Ticket, ...]:
    """Leave out texts where all of them are too long together, those of done and of late tickets first."""
    left, light = _TEXTS, {}
    for one in sorted(tickets, key=lambda one: (one.done, one.number)):
        left -= len(one.text)
        if left < 0:
            light[one.path] = one.model_copy(update={"text": ""})
    return tuple(light.get(one.path, one) for one in tickets)


def _write(command: Write, agents: Callable[[], frozenset[str]]) -> Written:
    """Add a ticket, once.

    The ticket bears the id of the command that made it, so a repeat finds it, also where it was edited or renumbered
    since. Without an id, the last ticket counts as this one while it has exactly this title, agent and body.
    """
    if why := ticket.unknown(command.agent, agents()):
        raise WorkFailed(why)
    checkout = disk.checkout(command.checkout)
    _make_folders(checkout)
    while True:
        names = _names(checkout)
        if made := _made(checkout, command, ticket.queue(names)):
            return Written(path=f"{_TICKETS}/{made}")
        name, text = _composed(command, 1 + max((ticket.number(name) or 0 for name in names), default=0))
        with suppress(FileExistsError):  # somebody was quicker: the next number is free
            disk.write(checkout / _TICKETS / name, text, fresh=True)
            return Written(path=f"{_TICKETS}/{name}")


def _composed(command: Write, number: int) -> tuple[str, str]:
    name, text = ticket.new_ticket(number, command.title, command.agent, command.body)
    return name, ticket.set_key(text, _KEY, command.key) if command.key else text


def _made(checkout: Path, command: Write, queue: tuple[str, ...]) -> str | None:
    """Return the name of the ticket that this command has made before, if it has."""
    if not command.key:
        last = queue[-1:]
        same = [name for name in last if (name, _text(checkout, name)) == _composed(command, ticket.number(name) or 0)]
        return same[0] if same else None
    return next((name for name in queue if _maker(_text(checkout, name)) == command.key), None)


def _maker(text: str) -> str | None:
    try:
        return frontmatter.word(frontmatter.read(text), _KEY)
    except Unreadable:
        return None


def _text(checkout: Path, name: str) -> str:
    try:
        return disk.read(checkout / _TICKETS / name)
    except (OSError, Unreadable):
        return ""
