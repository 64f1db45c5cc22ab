"""The commands ``car ticket``: they work on the files of the current checkout, with nothing running."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime.place import NoHub, find_hub
from bridges.bridge import agents
from bridges.cli.checkout import add, around, gather, seed
from bridges.cli.complaint import complain
from bridges.cli.option import AsJson, HubPath
from bridges.cli.view import columns, count, show
from protocol import ticket
from protocol.errors import Refused
from protocol.repo import TicketAdded, Tickets

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="The tickets of this checkout.")
KNOWN = frozenset(("demo", "codex", "opencode"))
"""The agents that need no setting."""
FIRST = "codex"
"""The agent of the first ticket, where none is named."""
FAILED = 1


class Lint(BaseModel):
    """What is wrong with the tickets."""

    tickets: int
    problems: tuple[str, ...]


@APP.command("list")
def list_(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show the tickets in the order in which they are worked through."""
    found = gather(checkout_here(), known(hub))
    show(found, _rows(found), as_json=as_json)


@APP.command()
def lint(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Say what is wrong with the tickets; ends with 1 where something is."""
    found = gather(checkout_here(), known(hub))
    problems = (*found.problems, *(problem for one in found.tickets for problem in one.problems))
    good = f"✓ {count(len(found.tickets), 'ticket')}, nothing is wrong"
    show(Lint(tickets=len(found.tickets), problems=problems), problems or (good,), as_json=as_json)
    if problems:
        complain(f"{count(len(problems), 'problem')} in {count(len(found.tickets), 'ticket')}")
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
    top, agents_ = checkout_here(), known(hub)
    if not title.strip():
        raise Refused('a ticket needs a title, type: car ticket new "What is to be done"')
    # Before stdin is read: nobody is to write a task in vain.
    who = agent or next((one.agent for one in reversed(gather(top, agents_).tickets) if one.agent in agents_), FIRST)
    if why := ticket.unknown(who, agents_):
        raise Refused(why)
    task = sys.stdin.read() if body == "-" else body
    seed(top)
    path = add(top, title, who, task)
    show(TicketAdded(path=path), (path, "type: car flow start"), as_json=as_json)


def checkout_here() -> Path:
    """Return the top of the checkout around this folder; raise ``Refused`` where there is none."""
    if top := around(Path.cwd()):
        return top
    raise Refused(f"{Path.cwd()} lies in no git checkout; go to one, or type: git init")


def known(hub: Path | None) -> frozenset[str]:
    """Return the agents that a ticket may name; where there is no hub, those that need no setting."""
    try:
        return KNOWN | agents(find_hub(hub))
    except NoHub:
        if hub:
            raise
        return KNOWN


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
