"""The files of CAR in a checkout, for commands that need nothing running: found, made, and read as workers do."""

import os
from contextlib import suppress
from pathlib import Path

from protocol import ticket
from protocol.repo import Tickets
from protocol.work import Ticket

HOME = Path(".codex-autorunner")
_DOCUMENTS = ("active_context.md", "decisions.md", "spec.md")


def around(path: Path) -> Path | None:
    """Return the top of the checkout in which a folder lies, if it lies in one."""
    tops = (one for one in (path, *path.parents) if _is_git(one / ".git") or (one / HOME / "tickets").is_dir())
    return next(tops, None)


def _is_git(path: Path) -> bool:
    """Tell whether this is what makes a folder a checkout: git's own folder, or the file that leads to it."""
    return path.is_file() or (path / "HEAD").is_file()


def gather(top: Path, agents_: frozenset[str]) -> Tickets:
    """Read the tickets of a checkout, as whoever works through them does."""
    folder = top / HOME / "tickets"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.is_dir()) if folder.is_dir() else ()
    tickets = tuple(_read(folder, name, agents_) for name in ticket.queue(names))
    return Tickets(tickets=tickets, problems=ticket.complaints(names))


def _read(folder: Path, name: str, agents_: frozenset[str]) -> Ticket:
    path = f"{HOME}/tickets/{name}"
    try:
        found = ticket.read(path, (folder / name).read_bytes().decode(), agents_)
    except UnicodeDecodeError:
        return ticket.unread(path, "it is no UTF-8 text; write it anew as one")
    except OSError as error:
        return ticket.unread(path, f"it cannot be read: {error.strerror}")
    return found.model_copy(update={"text": ""})


def seed(top: Path) -> tuple[Path, ...]:
    """Make the folders and documents of CAR in a checkout where they are missing; return what was made."""
    made = []
    home = top / HOME
    # The rule by which git does not see the folder comes before anything that is to be seen in it.
    home.mkdir(parents=True, exist_ok=True)
    for path, text in (
        (home / ".gitignore", "*\n"),
        *((home / "workspace" / name, "") for name in _DOCUMENTS),
    ):
        path.parent.mkdir(exist_ok=True)
        if not path.exists() and _place(path, text):
            made.append(path)
    if not (home / "tickets").is_dir():
        (home / "tickets").mkdir()
        made.append(home / "tickets")
    return tuple(made)


def add(top: Path, title: str, agent: str, body: str) -> str:
    """Make a new ticket at the end of the queue and return its path, relative to the checkout."""
    folder = top / HOME / "tickets"
    while True:
        numbers = (ticket.number(entry.name) or 0 for entry in folder.iterdir())
        name, text = ticket.new_ticket(1 + max(numbers, default=0), title, agent, body)
        if _place(folder / name, text):
            return f"{HOME}/tickets/{name}"


def _place(path: Path, text: str) -> bool:
    """Put a file where there is none, whole or not at all; tell whether it was put there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8")
        with suppress(FileExistsError):
            os.link(draft, path)
            return True
    finally:
        draft.unlink(missing_ok=True)
    return False
