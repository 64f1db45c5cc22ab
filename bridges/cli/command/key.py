"""The commands ``car key``: who may come in to the server, and with which keys. No seed is ever printed."""

from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime.nats import keyring
from actors.runtime.nats.link import Login, connect
from actors.runtime.nats.server import login, readmit, show_accounts
from actors.runtime.place import Hub, find_hub
from bridges.bridge import embeds
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import play
from bridges.cli.view import columns, show
from protocol.errors import Unreachable

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Who may come in to the server, with which keys.")
PATIENCE = 5.0
"""Seconds within which a server that runs has to take a new key."""
_BEGINS = {
    "host": "type: car restart",
    "custodian": "type: car down, then car up (what runs is paused: agents end with their custodian)",
    "cli": "nothing, every command reads the key anew",
    "ops": "nothing, whoever names its file reads it anew",
    "ear": "nothing, whoever names its file reads it anew",
}

Name = Annotated[str, typer.Argument(metavar="NAME", help="Whose key; car key list shows them.")]


class KeyEntry(BaseModel):
    """One user of the server: its public key, and the old ones that are still let in."""

    name: str
    key: str
    old: tuple[str, ...] = ()
    file: str


class Keys(BaseModel):
    """Everybody who may come in."""

    keys: tuple[KeyEntry, ...]


class Changed(BaseModel):
    """What has changed: the key, and those that are not let in any more. ``told`` is true where the server knows."""

    name: str
    key: str
    old: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    told: bool


class Accounts(BaseModel):
    """The part of a server's configuration that says who may do what; there are no secrets in it."""

    config: str


@APP.command("list")
def list_(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show who may come in."""
    found = find_hub(hub)
    entries = tuple(
        KeyEntry(name=one.name, key=one.key, old=one.old, file=str(keyring.seed_of(found, one.name)))
        for one in keyring.keys(found)
    )
    rows = [(f"**{one.name}**", one.key, f"and {len(one.old)} before it" if one.old else "") for one in entries]
    hints = [f"type: car key retire {one.name} once its old key is in use nowhere" for one in entries if one.old]
    show(Keys(keys=entries), (*columns(rows), *hints), as_json=as_json)


@APP.command()
def rotate(name: Name, *, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Make a new key for somebody; the old one is let in, too, until it is retired."""
    found = find_hub(hub)
    keyring.complete(found)
    key = keyring.renew(found, name)
    told = _tell(found, name)
    begins = _BEGINS.get(name, f"end the bridge {name} and start it again")
    lines = (
        f"✓ {name} has a new key: {key.key}",
        *_hint(found, told=told),
        f"  to begin with it: {begins}",
        f"  then cut the old one off: car key retire {name}",
    )
    show(Changed(name=name, key=key.key, old=key.old, told=told), lines, as_json=as_json)


@APP.command()
def retire(name: Name, *, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Let nobody in with an old key any more; whoever came in with one is thrown out."""
    found = find_hub(hub)
    keyring.complete(found)
    retired = keyring.retire(found, name)
    told = _tell(found, name)
    key = next(one.key for one in keyring.keys(found) if one.name == name)
    said = f"✓ of {name} only the newest key is let in: {key}" if retired else f"{name} has no old key: {key}"
    view = Changed(name=name, key=key, retired=retired, told=told)
    show(view, (said, *_hint(found, told=told)), as_json=as_json)


@APP.command("show-config")
def show_config(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Print the accounts for the configuration of a server of your own (nats.url); there are no secrets in it."""
    text = show_accounts(find_hub(hub))
    if as_json:
        show(Accounts(config=text), (), as_json=True)
    else:
        typer.echo(text, nl=False)


def _tell(hub: Hub, name: str) -> bool:
    """Have the keys of today count, and see that a server lets in with the newest; tell whether there is one."""
    if not embeds(hub) or not readmit(hub):
        return False
    play(_come_in(login(hub, name)))
    return True


async def _come_in(as_whom: Login) -> None:
    try:
        link = await connect(as_whom, wait=PATIENCE)
    except Unreachable as error:
        raise Unreachable(f"the server has not taken the new key of {as_whom.name}: {error}") from error
    await link.close()


def _hint(hub: Hub, *, told: bool) -> tuple[str, ...]:
    if told:
        return ("  the server that runs knows it",)
    if embeds(hub):
        return ("  no server runs; it counts from the next: car up",)
    return ("  put what is printed by car key show-config into the configuration of your server, and have it read",)
