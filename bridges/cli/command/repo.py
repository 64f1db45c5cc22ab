"""The commands ``car repo``: which checkouts the hub knows."""

from pathlib import Path
from typing import Annotated

import typer

from actors.runtime.place import find_hub
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import HUB, enter, expect, person, play, repos
from bridges.cli.view import columns, show
from protocol.hub import AddRepo, HubView, RepoAdded
from protocol.session import Place

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="The repositories of the hub.")


@APP.command()
def add(
    path: Annotated[Path, typer.Argument(help="A folder in a git checkout.")] = Path(),
    *,
    id_: Annotated[str, typer.Option("--id", metavar="ID", help="Its name; else that of its folder.")] = "",
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Take a git checkout into the hub."""
    found = find_hub(hub)
    place = Place(node=found.node, path=str(path.expanduser().resolve()))

    async def add_it() -> RepoAdded:
        async with enter(found) as door:
            return expect(await door.command(HUB, AddRepo(place=place, repo=id_), person()), RepoAdded)

    added = play(add_it())
    said = "is in the hub" if added.fresh else "was in the hub already"
    show(added, (f"**{added.repo}** {said}", added.place.path), as_json=as_json)


@APP.command("list")
def list_(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show the repositories."""
    found = find_hub(hub)

    async def look() -> HubView:
        async with enter(found) as door:
            return await repos(door)

    seen = play(look())
    lines = columns([(one.repo, one.place.path) for one in seen.repos]) if seen.repos else ()
    show(seen, lines or ("There is no repository yet, type: car repo add PATH",), as_json=as_json)
