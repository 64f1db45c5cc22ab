"""The commands that save the store of a hub at rest and put it back: backup, restore."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime.nats import backup as chest
from actors.runtime.place import Hub, find_hub
from bridges.bridge import embeds
from bridges.cli.option import AsJson, HubPath
from bridges.cli.screen import waiting
from bridges.cli.view import show
from protocol.errors import Refused

APP = typer.Typer(rich_markup_mode=None)
USAGE = 2
_MB = 1_000_000


class Accepted(BaseModel):
    """The store is taken as it is; ``epoch`` begins at the next start."""

    hub: str
    epoch: str


@APP.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; no file may be there yet.")],
    *,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Save the store of the hub, its settings and its name for this machine in a file; CAR is down meanwhile.

    Keys are not in it.
    """
    found = find_hub(hub)
    _want_own_server(found)
    with waiting("Saving …"):
        saved = chest.save(found, file)
    lines = (f"✓ saved in {saved.file} ({saved.size / _MB:.1f} MB)", "  to go on: car up")
    show(saved, lines, as_json=as_json)


@APP.command()
def restore(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="What car backup has written.")] = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of the store that is there.")] = False,
    as_it_is: Annotated[
        bool, typer.Option("--as-it-is", help="Instead of a file: go on with a store that has lost something.")
    ] = False,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Put back what car backup has saved; CAR is down meanwhile, and what is restored goes on at the next car up."""
    found = find_hub(hub)
    if as_it_is == (file is not None):
        raise typer.BadParameter("name the file of a backup, or else --as-it-is")
    if file is None:
        accepted = Accepted(hub=str(found.root), epoch=chest.accept(found))
        show(accepted, ("✓ the store is taken as it is", "  to go on: car up"), as_json=as_json)
        return
    _want_own_server(found)
    with waiting("Restoring …"):
        restored = chest.restore(found, file, replace=replace)
    kept = (f"  the store of before is kept in {restored.kept}",) if restored.kept else ()
    own = () if restored.settings else ("  the settings are still those of this hub",)
    head = f"✓ restored what was saved on {restored.made:%Y-%m-%d at %H:%M} UTC"
    show(restored, (head, *kept, *own, "  to go on: car up"), as_json=as_json)


def _want_own_server(hub: Hub) -> None:
    if not embeds(hub):
        raise Refused(
            "the store of this hub lies on a NATS server of its own (nats.url); save and restore it with that server's "
            "tools: nats account backup, nats account restore"
        )
