"""The commands ``car nats``: what the plain ``nats`` tool shows, where it is not installed. They only read."""

import asyncio
import re
import shlex
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from nats.aio.msg import Msg
from pydantic import BaseModel
from rich.console import Console

from actors.runtime import launch
from actors.runtime.nats.top import consumers, streams
from actors.runtime.place import Hub, find_hub
from bridges.bridge import Door, embeds, open_door, server
from bridges.cli.amount import clip, size, span
from bridges.cli.command.top import stream_lines
from bridges.cli.complaint import complain
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import NOBODY, play
from bridges.cli.show import clean
from bridges.cli.view import columns, show
from protocol.errors import Refused, Unreachable
from protocol.top import ConsumerEntry, StreamEntry

APP = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Look at the NATS server: ls, info, sub.")
LOOKS, HEARS = "ops", "ear"
"""The key of whoever looks how it stands, and of whoever listens; neither changes anything."""
WIDTH = 120
"""Columns of a line where nobody says how wide the page is."""
_TOKEN = re.compile(r"[^\s.*>\x00-\x20]+|\*")
_DENIED = "permissions violation"


class Streams(BaseModel):
    """The streams of the server; of the one that was named, who reads it."""

    streams: tuple[StreamEntry, ...]
    consumers: tuple[ConsumerEntry, ...] = ()


class Info(BaseModel):
    """The server as this connection sees it; ``look`` and ``hear`` are how the ``nats`` tool is used with it."""

    url: str
    release: str
    user: str
    client: int
    round_trip_ms: float
    payload: int
    streams: int
    bytes: int
    bound: int
    look: str
    hear: str


class Heard(BaseModel):
    """One message as it came."""

    at: datetime
    subject: str
    headers: dict[str, str]
    body: str


@APP.command()
def ls(
    stream: Annotated[str, typer.Argument(metavar="STREAM", help="Show who reads this one, too.")] = "",
    *,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Show the streams, or who reads one of them."""
    found = find_hub(hub)

    async def look() -> Streams:
        async with _enter(found) as door:
            all_ = await streams(door.link)
            if not stream:
                return Streams(streams=all_)
            named = tuple(one for one in all_ if one.name == stream)
            if not named:
                raise Refused(f"no stream is called {stream}; there are {', '.join(one.name for one in all_)}")
            return Streams(streams=named, consumers=await consumers(door.link, stream))

    seen = play(look())
    show(seen, _listed(seen, who=bool(stream)), as_json=as_json)


@APP.command()
def info(*, hub: HubPath = None, as_json: AsJson = False) -> None:
    """Show the server, this connection, and how the nats tool is used with it."""
    found = find_hub(hub)

    async def look() -> Info:
        async with _enter(found) as door:
            return await _info(found, door)

    seen = play(look())
    show(seen, _told(seen), as_json=as_json)


@APP.command()
def sub(
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="What to hear; * and > stand for tokens.")
    ] = "car.>",
    *,
    count: Annotated[int, typer.Option("--count", metavar="COUNT", min=0, help="End after so many.")] = 0,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Show messages as they come, until Ctrl-C."""
    found, wanted = find_hub(hub), _subject(subject)
    console = Console(highlight=False)
    width = console.width if console.is_terminal else WIDTH

    async def listen() -> None:
        async with _enter(found, HEARS) as door:
            heard = 0
            async for msg in _hear(door, wanted):
                one = _heard(msg)
                sys.stdout.write(f"{one.model_dump_json() if as_json else _line(one, width)}\n")
                sys.stdout.flush()
                heard += 1
                if heard == count:
                    return

    play(listen())


@asynccontextmanager
async def _enter(hub: Hub, name: str = LOOKS) -> AsyncIterator[Door]:
    """Open the door for whoever changes nothing; it needs a server, and no host."""
    if embeds(hub):
        if not any(one.alive for one in launch.states(hub) if one.name == "server"):
            raise Unreachable(NOBODY)
        if not _seed(hub, name):
            raise Refused("the server was started before there was a key for this, type: car down, then car up")
    async with open_door(hub, name) as door:
        yield door


def _seed(hub: Hub, name: str) -> str:
    """Return the file of a key, or nothing where there is none."""
    seed = hub.nats / f"{name}.seed"
    return str(seed) if embeds(hub) and seed.is_file() else ""


def _subject(text: str) -> str:
    """Return a subject as it was typed, where one can listen to it."""
    *first, last = text.split(".")
    if all(map(_TOKEN.fullmatch, first)) and (last == ">" or _TOKEN.fullmatch(last)):
        return text
    raise typer.BadParameter(
        f"{text!r} is no subject; one looks like car.mail.>, with * for one token and > for all that follow"
    )


async def _hear(door: Door, subject: str) -> AsyncIterator[Msg]:
    """Yield messages for ever; raise ``Refused`` where the key may not hear them."""
    link = door.link
    link.on_loss.append(lambda: complain("some were left out: they come faster than they can be shown"))
    link.on_return.append(lambda: complain("the server was away; what was said meanwhile is not shown"))
    subscription = await link.client.subscribe(subject)
    # The first ping overtakes the subscription, the second is answered after the server's word on it.
    await link.client.flush()
    await link.client.flush()
    if _DENIED in link.trouble.lower():
        raise Refused(f"the key {HEARS} may not hear {subject}")
    async for msg in subscription.messages:
        yield msg
    await link.watch()


def _heard(msg: Msg) -> Heard:
    headers = {str(name): str(value) for name, value in (msg.headers or {}).items()}
    return Heard(at=datetime.now(UTC), subject=msg.subject, headers=headers, body=msg.data.decode(errors="replace"))


def _line(one: Heard, width: int) -> str:
    """Return a message on one line: when, where, which messages from whom, and the beginning of the body."""
    name, sender = one.headers.get("Car-Name", ""), one.headers.get("Car-Sender", "")
    facts = (f"{one.at.astimezone():%H:%M:%S.%f}"[:-3], one.subject, name, f"from {sender}" if sender else "", one.body)
    return clip(clean("  ".join(fact for fact in facts if fact)), width)


async def _info(hub: Hub, door: Door) -> Info:
    client, loop = door.link.client, asyncio.get_running_loop()
    began = loop.time()
    await client.flush()
    took = loop.time() - began
    account, release = await door.link.api("INFO"), client.connected_server_version
    url, look, ear = server(hub), _seed(hub, LOOKS), _seed(hub, HEARS)
    looks, hears = (f" --nkey {shlex.quote(seed)}" if seed else "" for seed in (look, ear))
    return Info(
        url=url,
        release=f"{release.major}.{release.minor}.{release.patch}",
        user=door.link.login.name,
        client=client.client_id or 0,
        round_trip_ms=round(took * 1000, 2),
        payload=client.max_payload,
        streams=account.number("streams"),
        bytes=account.number("storage"),
        bound=max(account.number("limits", "max_storage"), 0),
        look=f"nats --server {url}{looks} --inbox-prefix _INBOX_{LOOKS} stream ls",
        hear=f"nats --server {url}{hears} --inbox-prefix _INBOX_{HEARS} sub 'car.>'",
    )


def _told(seen: Info) -> Iterator[str]:
    yield f"**{seen.url}** · nats-server {seen.release}"
    bound = f" of {size(seen.bound)}" if seen.bound else ""
    yield from columns(
        (
            ("  we are", f"{seen.user}, client {seen.client}, {seen.round_trip_ms} ms away"),
            ("  store", f"{size(seen.bytes)}{bound} in {seen.streams} streams"),
            ("  largest message", size(seen.payload)),
        )
    )
    yield ""
    yield "With the nats tool, where it is installed (there are consumer ls, micro ls and micro stats, too):"
    yield f"  {seen.look}"
    yield f"  {seen.hear}"


def _listed(seen: Streams, *, who: bool) -> Iterator[str]:
    now = datetime.now(UTC)
    yield from stream_lines(seen.streams, now)
    if not who:
        yield ""
        yield "type: car nats ls STREAM to see who reads it"
    elif not seen.consumers:
        yield ""
        yield "Nobody reads it."
    else:
        yield ""
        head = ("  reader", "waits", "in hand", "again", "last", "asks", "of")
        yield from columns([head, *(_reader(one, now) for one in seen.consumers)])


def _reader(one: ConsumerEntry, now: datetime) -> tuple[str, ...]:
    last = span((now - one.active).total_seconds()) if one.active else "-"
    asks, subjects = "yes" if one.asks else "nobody", " ".join(one.subjects) or "all"
    return (f"  {one.name}", str(one.waits), str(one.taken), str(one.again), last, asks, subjects)
