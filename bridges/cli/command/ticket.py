"""The commands ``car ticket``: they work on the files of the current checkout, with nothing running."""

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime.place import NoHub, find_hub
from bridges.bridge import agents
from bridges.cli.option import AsJson, HubPath
from bridges.cli.view import columns, count, show, warn
from protocol import ticket
from protocol.errors import Refused
from protocol.repo import TicketAdded, Tickets
from protocol.work import Ticket

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="The tickets of this checkout.")
KNOWN = frozenset(("demo", "codex", "opencode"))
"""The agents that need no setting."""
FIRST = "codex"
"""The agent of the first ticket, where none is named."""
FAILED = 1
_HOME = Path(".codex-autorunner")
_DOCUMENTS = ("active_context.md", "decisions.md", "spec.md")


class Lint(BaseModel):
    """What is wrong with the tickets."""

    tickets: int
    problems: tuple[str, ...]


@APP.command("list")
def list_(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show the tickets in the order in which they are worked through."""
    found = gather(checkout(), known(hub))
    show(found, _rows(found), as_json=as_json)


@APP.command()
def lint(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Say what is wrong with the tickets; ends with 1 where something is."""
    found = gather(checkout(), known(hub))
    problems = (*found.problems, *(problem for one in found.tickets for problem in one.problems))
    good = f"✓ {count(len(found.tickets), 'ticket')}, nothing is wrong"
    show(Lint(tickets=len(found.tickets), problems=problems), problems or (good,), as_json=as_json)
    if problems:
        warn(f"{count(len(problems), 'problem')} in {count(len(found.tickets), 'ticket')}")
        raise typer.Exit(FAILED)


@APP.command()
def new(
    title: Annotated[str, typer.Argument(help="What is to be done, in one line.")],
    *,
    agent: Annotated[str, typer.Option(metavar="NAME", help="Who does it; else whoever does the last ticket.")] = "",
    body: Annotated[str, typer.Option(metavar="TEXT", help="The task in markdown; - reads it from stdin.")] = "",
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a new ticket at the end of the queue."""
    top, agents_ = checkout(), known(hub)
    if not title.strip():
        raise Refused('a ticket needs a title, type: car ticket new "What is to be done"')
    # Before stdin is read: nobody is to write a task in vain.
    who = agent or next((one.agent for one in reversed(gather(top, agents_).tickets) if one.agent in agents_), FIRST)
    if why := ticket.unknown(who, agents_):
        raise Refused(why)
    task = sys.stdin.read() if body == "-" else body
    seed(top)
    path = _write(top, title, who, task)
    show(TicketAdded(path=path), (path, "type: car flow start"), as_json=as_json)


def checkout() -> Path:
    """Return the top of the checkout around this folder; raise ``Refused`` where there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / ".git").exists() or (folder / _HOME / "tickets").is_dir():
            return folder
    raise Refused(f"{here} lies in no git checkout; go to one, or type: git init")


def known(hub: Path | None) -> frozenset[str]:
    """Return the agents that a ticket may name; where there is no hub, those that need no setting."""
    try:
        return KNOWN | agents(find_hub(hub))
    except NoHub:
        if hub:
            raise
        return KNOWN


def gather(top: Path, agents_: frozenset[str]) -> Tickets:
    """Read the tickets of a checkout, as whoever works through them does."""
    folder = top / _HOME / "tickets"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.is_dir()) if folder.is_dir() else ()
    tickets = tuple(_read(folder, name, agents_) for name in ticket.queue(names))
    return Tickets(tickets=tickets, problems=ticket.complaints(names))


def _read(folder: Path, name: str, agents_: frozenset[str]) -> Ticket:
    path = f"{_HOME}/tickets/{name}"
    try:
        found = ticket.read(path, (folder / name).read_bytes().decode(), agents_)
    except UnicodeDecodeError:
        return ticket.unread(path, "it is no UTF-8 text; write it anew as one")
    except OSError as error:
        return ticket.unread(path, f"it cannot be read: {error.strerror}")
    return found.model_copy(update={"text": ""})


def _rows(found: Tickets) -> Iterable[str]:
    if not found.tickets and not found.problems:
        return ("There is no ticket yet, type: car ticket new TITLE",)
    marks = {True: "✗", False: "·"}
    rows = [
        (
            "✓" if one.done else marks[bool(one.problems)],
            f"{one.number:03d}",
            one.agent or "-",
            one.title or Path(one.path).name,
        )
        for one in found.tickets
    ]
    wrong = len(found.problems) + sum(len(one.problems) for one in found.tickets)
    hint = (f"{count(wrong, 'problem')}, type: car ticket lint",) if wrong else ()
    return (*(columns(rows) if rows else ()), *hint)


def seed(top: Path) -> tuple[Path, ...]:
    """Make the folders and documents of CAR in a checkout where they are missing; return what was made."""
    made = []
    home = top / _HOME
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


def _write(top: Path, title: str, agent: str, body: str) -> str:
    folder = top / _HOME / "tickets"
    while True:
        numbers = (ticket.number(entry.name) or 0 for entry in folder.iterdir())
        name, text = ticket.new_ticket(1 + max(numbers, default=0), title, agent, body)
        if _place(folder / name, text):
            return f"{_HOME}/tickets/{name}"


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
