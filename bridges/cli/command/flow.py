"""The commands ``car flow``: let agents work through the tickets of a repository, watch them, stop them."""

import asyncio
from pathlib import Path, PurePosixPath
from typing import Annotated

import typer

from actors.runtime.place import Hub, find_hub
from bridges.bridge import Door
from bridges.cli.complaint import complain
from bridges.cli.follow import End, Follower, reason
from bridges.cli.option import AsJson, HubPath, RepoId
from bridges.cli.reach import enter, expect, here, person, play, repos, view
from bridges.cli.screen import board
from bridges.cli.show import Page
from bridges.cli.view import flow_lines, show
from protocol.address import Address, token
from protocol.errors import Refused
from protocol.flow import DescribeRun, RunCompleted, RunPaused, RunStopped, RunView, TurnBegun
from protocol.hub import HubView
from protocol.repo import DescribeRepo, FlowAccepted, FlowState, RepoView, ResumeFlow, StartFlow, StopFlow
from protocol.session import Place

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Work through the tickets of a repository.")
FAILED = 1
OVER = ("stopped", "completed", "refused")
_GLANCES = 40
"""How often, at most, a repository is looked at until it has heard of the end of its run."""

Follow = Annotated[bool, typer.Option("--follow/--no-follow", help="Watch until the run waits or is over.")]


@APP.command()
def start(
    *,
    repo: RepoId = "",
    agent: Annotated[str, typer.Option(metavar="NAME", help="This agent instead of those the tickets name.")] = "",
    follow: Follow = True,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Begin a run, or join the one that is active; ends with 1 where it waits for a person."""
    _work(hub, repo, StartFlow(agent=agent), follow=follow, as_json=as_json)


@APP.command()
def resume(
    *,
    repo: RepoId = "",
    reply: Annotated[str, typer.Option(metavar="TEXT", help="The answer to what the agent asked.")] = "",
    follow: Follow = True,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Let the paused run go on."""
    _work(hub, repo, ResumeFlow(reply=reply), follow=follow, as_json=as_json)


@APP.command()
def stop(*, repo: RepoId = "", hub: HubPath = None, as_json: AsJson = False) -> None:
    """End the active run; what is committed stays."""
    found = find_hub(hub)

    async def stop_it() -> FlowState:
        async with enter(found) as door:
            to = choose(await repos(door), repo, here(found))
            since = await door.last_event() + 1
            accepted = expect(await door.command(to, StopFlow(), person()), FlowAccepted)
            await Follower(door, Address("run", accepted.run), Page(len)).follow(since)
            return await describe(door, to)

    state = play(stop_it())
    show(state, flow_lines(state), as_json=as_json)


@APP.command()
def status(*, repo: RepoId = "", hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show how it stands with the newest run."""
    found = find_hub(hub)

    async def look() -> FlowState:
        async with enter(found) as door:
            return await describe(door, choose(await repos(door), repo, here(found)))

    state = play(look())
    show(state, flow_lines(state), as_json=as_json)


def _work(hub: Path | None, repo: str, wish: StartFlow | ResumeFlow, *, follow: bool, as_json: bool) -> None:
    """Let a run begin or go on, and watch it where that is wanted."""
    found = find_hub(hub)
    state, end = play(_run(found, repo, wish, follow=follow, aside=as_json))
    if as_json or not follow:
        show(state, flow_lines(state), as_json=as_json)
    if end and (why := reason(end)):
        complain(why)
        raise typer.Exit(FAILED)


async def _run(
    hub: Hub, repo: str, wish: StartFlow | ResumeFlow, *, follow: bool, aside: bool
) -> tuple[FlowState, End | None]:
    async with enter(hub) as door:
        to = choose(await repos(door), repo, here(hub))
        since = await door.last_event() + 1
        accepted = expect(await door.command(to, wish, person()), FlowAccepted)
        joins = isinstance(wish, StartFlow) and not accepted.fresh
        end = await _watch(door, accepted.run, since, joins=joins, aside=aside) if follow else None
        return await describe(door, to), end


async def _watch(door: Door, run: str, since: int, *, joins: bool, aside: bool) -> End:
    """Show a run until it waits or is over; who looks away is told that it goes on."""
    try:
        with board(stderr=aside) as shown:
            follower = Follower(door, Address("run", run), shown)
            return (await _join(follower) if joins else None) or await follower.follow(since)
    except asyncio.CancelledError:
        complain("the run goes on, type: car flow status")
        raise


async def _join(follower: Follower) -> End | None:
    """Show how far a run is that others have begun; return how it has ended, where it has."""
    run = await view(follower.door, follower.run, DescribeRun(), RunView)
    follower.board.say(f"**{run.repo}** · joining the run that is active, {run.done} of {run.total} tickets done")
    if run.status == "paused":
        return RunPaused(code=run.code or "question", reason=run.reason, body=run.body, ticket=run.ticket)
    if run.status in OVER:
        return RunCompleted(done=run.done, turns=run.turns) if run.status == "completed" else RunStopped()
    if run.session:
        turn = TurnBegun(ticket=run.ticket, turn=run.turns, agent=run.agent, session=run.session)
        await follower.join(turn)
    return None


def choose(hub: HubView, repo: str, place: Place) -> Address:
    """Return the repository that is meant: by name, else the innermost around a place, else the only one."""
    named = tuple(one.repo for one in hub.repos)
    if not named:
        raise Refused("the hub knows no repository yet, type: car repo add PATH")
    if repo and repo not in named:
        raise Refused(f"no repository is called {repo}; there are {', '.join(named)}")
    around = [one for one in hub.repos if one.place.node == place.node and _within(place.path, one.place.path)]
    if not repo and around:
        repo = max(around, key=lambda one: len(one.place.path)).repo
    if not repo and len(named) > 1:
        raise Refused(f"which repository is meant? type --repo with one of {', '.join(named)}")
    return Address("repo", token(repo or named[0]))


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)


async def describe(door: Door, to: Address) -> FlowState:
    """Return how it stands with a repository and its newest run."""
    for _ in range(_GLANCES):
        repo = await view(door, to, DescribeRepo(), RepoView)
        run = await view(door, Address("run", repo.run), DescribeRun(), RunView) if repo.run else None
        # The run is ahead: what it has told its repository may be on the way still.
        if not (run and run.status in OVER and repo.active):
            break
        await asyncio.sleep(0.05)
    return FlowState(repo=repo, run=run)
