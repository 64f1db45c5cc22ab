"""Prints what a command has found: as JSON for programs, else as a few lines for people."""

import sys
from collections.abc import Iterable, Sequence

from pydantic import BaseModel
from rich.cells import cell_len
from rich.console import Console

from bridges.cli.complaint import idiom
from bridges.cli.show import light, plain
from protocol.flow import RunView
from protocol.repo import FlowState, RepoView


def show(view: BaseModel, lines: Iterable[str], *, as_json: bool) -> None:
    """Print a view: as JSON, or as the lines that say the same."""
    if as_json:
        sys.stdout.write(f"{view.model_dump_json(indent=2)}\n")
    else:
        say(*lines)


def say(*lines: str) -> None:
    """Print lines of light markdown."""
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        if console.is_terminal:
            console.print(light(line))
        else:
            sys.stdout.write(f"{plain(line)}\n")


def columns(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Align the cells of rows; the last of each is as long as it is."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return tuple(
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def flow_lines(state: FlowState) -> tuple[str, ...]:
    """Say how it stands with a repository and its newest run."""
    repo, run = state.repo, state.run
    head = f"**{repo.repo}** · {brief(repo, run)}"
    if not run:
        return (head, repo.place.path)
    facts = (count(run.turns, "turn"), count(len(run.commits), "commit"), f"run {run.run}")
    now = (f"→ {run.title or run.ticket} ({run.agent})",) if run.ticket and repo.active else ()
    why = tuple(part for part in (idiom(run.reason), run.body) if part) if run.status == "paused" else ()
    hint = {
        "paused": "type: car flow resume, or car flow resume --reply TEXT",
        "running": "type: car flow stop, or car chat to watch",
    }.get(run.status, "type: car flow start")
    return (head, repo.place.path, *now, *why, " · ".join(facts), hint)


def brief(repo: RepoView, run: RunView | None) -> str:
    """Say in half a line how it stands with a repository."""
    if not run:
        return "an agent answers in a chat" if repo.busy else "no run yet"
    tickets = f", {run.done} of {count(run.total, 'ticket')} done" if run.total else ""
    return f"{run.status}{tickets}"
