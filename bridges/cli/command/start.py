"""The commands that make, start and end CAR itself: init, up, down, restart, status."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime import launch
from actors.runtime.place import Hub, find_hub, init_hub
from bridges.bridge import Door, embeds, equip_hub, server
from bridges.cli.checkout import HOME, around, seed
from bridges.cli.command.flow import describe
from bridges.cli.complaint import complain
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import HUB, await_host, await_server, enter, expect, person, play, repos
from bridges.cli.screen import waiting
from bridges.cli.view import brief, columns, show
from protocol.address import Address, token
from protocol.errors import CarError, Unreachable
from protocol.hub import Quiesce, Quiesced
from protocol.repo import FlowState

APP = typer.Typer(rich_markup_mode=None)
UNREACHABLE = 4
QUIESCE = 10.0
"""Seconds for which turns may take to be interrupted."""
_BUSY = ("starting", "running", "stopping")


class Process(BaseModel):
    """One process of the hub. ``since`` is in ISO 8601."""

    name: str
    pid: int
    alive: bool
    since: str


class Started(BaseModel):
    """The processes that run, and where they say what happens."""

    processes: tuple[Process, ...]
    log: str


class Status(BaseModel):
    """How it stands with a hub. Where no host is ``alive``, nothing is known of repositories and runs."""

    hub: str
    alive: bool
    server: str
    processes: tuple[Process, ...]
    repos: tuple[FlowState, ...] = ()


class Ended(BaseModel):
    """What was paused, and which processes were ended."""

    paused: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


class Made(BaseModel):
    """Where the hub is, and which files were made in the checkout around it."""

    hub: str
    checkout: str = ""
    made: tuple[str, ...] = ()


@APP.command()
def init(
    path: Annotated[Path | None, typer.Argument(help="Where; else this folder.")] = None,
    *,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Make a hub in a folder, and the folders for tickets in the git checkout around it."""
    made = init_hub(hub or path or Path())
    equip_hub(made)
    top = around((path or made.root).expanduser().resolve())
    seeded = tuple(str(one.relative_to(top)) for one in seed(top)) if top else ()
    view = Made(hub=str(made.root), checkout=str(top or ""), made=seeded)
    lines = [f"✓ hub in {view.hub}"]
    if seeded:
        lines.append(f"✓ folders for tickets and notes in {view.checkout}/{HOME}")
    show(view, (*lines, "", *_next(is_checkout=top is not None)), as_json=as_json)


def _next(*, is_checkout: bool) -> tuple[str, ...]:
    where = "." if is_checkout else "PATH"
    rows = (
        ("  car up", "start CAR"),
        (f"  car repo add {where}", "let it know the checkout"),
        ('  car ticket new "..."', "say what is to be done"),
        ("  car flow start", "let agents do it, and watch"),
    )
    return ("Next:", *columns(rows))


@APP.command()
def up(
    *,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here, for systemd and containers.")] = False,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Start what is missing, and return when the host answers."""
    found = find_hub(hub)
    ready(found)
    if foreground:
        launch.foreground(found)
    with waiting("Starting CAR …"):
        launch.up(found)
        play(await_host(found))
    view = Started(processes=processes(found), log=str(found.log))
    lines = (f"✓ CAR runs: {_names(view.processes)}", f"  log: {view.log}")
    show(view, lines, as_json=as_json)


def ready(hub: Hub) -> None:
    """Make all ready for a start; a server that runs keeps what it was started with."""
    if not any(one.alive for one in launch.states(hub) if one.name == "server"):
        equip_hub(hub, starts=True)
    if not embeds(hub):
        play(await_server(hub))


@APP.command()
def down(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Interrupt what runs, so that it can be resumed, and end CAR."""
    found = find_hub(hub)
    with waiting("Ending CAR …"):
        paused = play(_quiesce(found))
        ended = launch.stop(found)
    runs = (f"✓ paused: {', '.join(paused)}",) if paused else ()
    gone = f"✓ ended: {', '.join(ended)}" if ended else "Nothing was running here."
    show(Ended(paused=paused, ended=ended), (*runs, gone), as_json=as_json)


async def _quiesce(hub: Hub) -> tuple[str, ...]:
    """Have all runs paused, and return the repositories in which something ran."""
    try:
        async with enter(hub) as door:
            busy = [one.repo.repo for one in await _flows(door) if _is_busy(one)]
            expect(await door.command(HUB, Quiesce(reason="stopped by car down"), person(), QUIESCE), Quiesced)
            try:
                async with asyncio.timeout(QUIESCE):
                    await _until_idle(door, busy)
            except TimeoutError:
                complain(f"what runs in {', '.join(busy)} was not interrupted within {QUIESCE:.0f} s")
            return tuple(busy)
    except CarError:
        # Whoever wants an end gets it, also where nobody answers any more.
        return ()


async def _until_idle(door: Door, repos_: list[str]) -> None:
    while any(_is_busy(one) for one in await _flows(door) if one.repo.repo in repos_):  # noqa: ASYNC110  # they are of another process
        await asyncio.sleep(0.1)


def _is_busy(state: FlowState) -> bool:
    return state.run is not None and state.run.status in _BUSY


async def _flows(door: Door) -> tuple[FlowState, ...]:
    entries = (await repos(door)).repos
    return tuple([await describe(door, Address("repo", token(one.repo))) for one in entries])


@APP.command()
def restart(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Let a new host take over; agents, custodian and server go on."""
    found = find_hub(hub)
    ready(found)
    with waiting("Renewing the host …"):
        launch.renew_host(found)
        play(await_host(found))
    view = Started(processes=processes(found), log=str(found.log))
    show(view, (f"✓ the host is new: {_names(view.processes)}",), as_json=as_json)


@APP.command()
def status(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show processes, repositories and their runs."""
    found = find_hub(hub)
    trouble = ""
    try:
        flows = play(_look(found))
    except Unreachable as error:
        flows, trouble = (), str(error)
    view = Status(hub=str(found.root), alive=not trouble, server=server(found), processes=processes(found), repos=flows)
    show(view, () if trouble and not view.processes else _status(view), as_json=as_json)
    if trouble:
        complain(trouble)
        raise typer.Exit(UNREACHABLE)


async def _look(hub: Hub) -> tuple[FlowState, ...]:
    async with enter(hub) as door:
        return await _flows(door)


def _status(view: Status) -> Iterable[str]:
    yield f"**{view.hub}** · {view.server}"
    rows = [(f"  {one.name}", f"pid {one.pid}", _since(one)) for one in view.processes]
    yield from columns(rows) if rows else ()
    if view.repos:
        yield ""
        yield from columns(
            [(f"  {one.repo.repo}", brief(one.repo, one.run), one.repo.place.path) for one in view.repos]
        )
    elif view.alive:
        yield "  no repository yet, type: car repo add PATH"


def processes(hub: Hub) -> tuple[Process, ...]:
    """Return the processes in the records of a hub."""
    return tuple(
        Process(
            name=one.name,
            pid=one.pid,
            alive=one.alive,
            since=datetime.fromtimestamp(one.since, UTC).isoformat(timespec="seconds"),
        )
        for one in launch.states(hub)
    )


def _since(one: Process) -> str:
    if not one.alive:
        return "has ended"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(one.since)).total_seconds())
    minutes, hours = seconds // 60, seconds // 3600
    return f"for {hours} h {minutes % 60} min" if hours else f"for {minutes} min" if minutes else f"for {seconds} s"


def _names(all_: tuple[Process, ...]) -> str:
    return ", ".join(f"{one.name} (pid {one.pid})" for one in all_ if one.alive)
