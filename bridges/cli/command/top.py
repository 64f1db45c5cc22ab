"""The command ``car top``: how it stands with hosts, mailboxes, dead letters and streams, drawn anew until Ctrl-C."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live

from actors.runtime.nats.top import WHOM
from actors.runtime.place import Hub, find_hub
from bridges.bridge import Door
from bridges.cli.amount import clip, size, span
from bridges.cli.option import AsJson, HubPath
from bridges.cli.reach import enter, play, view
from bridges.cli.show import light
from bridges.cli.view import columns, count, show
from protocol.errors import CarError
from protocol.top import DescribeRuntime, HostEntry, RuntimeView, StreamEntry

APP = typer.Typer(rich_markup_mode=None)
SHARDS = 8
"""Shards that are named one by one."""
_WHY = 60


@APP.command()
def top(
    *,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", min=0.2, help="How often to look.")] = 1.5,
    hub: HubPath = None,
    as_json: AsJson = False,
) -> None:
    """Show hosts, mailboxes, dead letters and streams, until Ctrl-C."""
    found, console = find_hub(hub), Console(highlight=False)
    if once or as_json or not console.is_terminal or console.is_dumb_terminal:
        seen = play(_look(found))
        show(seen, draw(seen), as_json=as_json)
    else:
        play(_watch(found, console, every))


async def _look(hub: Hub) -> RuntimeView:
    async with enter(hub) as door:
        return await _ask(door)


async def _watch(hub: Hub, console: Console, every: float) -> None:
    """Draw it on a page of its own; where nobody answers for a while, what was seen last stays."""
    async with enter(hub) as door:
        last, seen, trouble = None, await _ask(door), ""
        with Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            while True:
                lines = [*((f"**{trouble}**", "") if trouble else ()), *draw(seen, last)]
                live.update(_page(lines[: console.height]), refresh=True)
                await asyncio.sleep(every)
                try:
                    last, seen, trouble = seen, await _ask(door), ""
                except CarError as error:
                    last, trouble = None, f"{error} (what was seen last is below)"


async def _ask(door: Door) -> RuntimeView:
    return await view(door, WHOM, DescribeRuntime(), RuntimeView)


def _page(lines: list[str]) -> Group:
    shown = [light(line) for line in lines]
    for line in shown:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*shown)


def draw(seen: RuntimeView, last: RuntimeView | None = None) -> Iterator[str]:
    """Return the view as lines; use of the processor is measured since the ``last`` one, else since the start."""
    yield f"**hosts** · {seen.at.astimezone():%H:%M:%S}"
    yield from columns(
        [
            ("  host", "release", "runs for", "shards", "awake", "cpu", "memory"),
            *(_host(one, seen.at, last) for one in seen.hosts),
        ]
    )
    yield ""
    yield from _mail(seen)
    if seen.dead:
        yield ""
        yield f"**dead letters** · {seen.dead}, type: car dead list"
    if seen.resting:
        yield ""
        yield "**at rest** · failed too often, type: car dead list"
        yield from columns([(f"  {one.who}", clip(one.why, _WHY)) for one in seen.resting])
    yield ""
    yield "**streams**"
    yield from stream_lines(seen.streams, seen.at)


def stream_lines(streams: tuple[StreamEntry, ...], now: datetime) -> tuple[str, ...]:
    """Return a row for each stream."""
    rows = [("  stream", "messages", "bytes", "of", "oldest", "readers")]
    rows += [
        (
            f"  {one.name}",
            str(one.messages),
            size(one.bytes),
            size(one.bound) if one.bound else "-",
            span((now - one.oldest).total_seconds()) if one.oldest else "-",
            str(one.consumers),
        )
        for one in streams
    ]
    return columns(rows)


def _host(one: HostEntry, now: datetime, last: RuntimeView | None) -> tuple[str, ...]:
    head = (f"  {one.lease}", one.release, span((now - one.since).total_seconds()))
    if one.says is None:
        return (*head, "-", "-", "-", "does not answer")
    return (*head, str(len(one.says.shards)), str(one.says.awake), _cpu(one, now, last), size(one.says.memory))


def _cpu(one: HostEntry, now: datetime, last: RuntimeView | None) -> str:
    used, seconds = (one.says.cpu if one.says else 0.0), (now - one.since).total_seconds()
    before = next((old for old in last.hosts if old.lease == one.lease), None) if last else None
    if last and before and before.says:
        used, seconds = used - before.says.cpu, (now - last.at).total_seconds()
    return f"{100 * used / seconds:.1f} %" if seconds > 0 else "-"


def _mail(seen: RuntimeView) -> Iterator[str]:
    where = f" in {seen.mailboxes} mailbox{'' if seen.mailboxes == 1 else 'es'}" if seen.waiting else ""
    more = " or more, too many to count" if seen.partial else ""
    yield f"**mail** · {seen.waiting} waiting{where}{more}"
    if seen.unread:
        named = ", ".join(map(str, seen.unread[:SHARDS])) + (", …" if len(seen.unread) > SHARDS else "")
        yield f"  {count(len(seen.unread), 'shard')} read by nobody: {named}"
    if seen.deepest:
        rows = [(f"  {one.who}", str(one.waiting), span(one.age)) for one in seen.deepest]
        yield from columns([("  mailbox", "waiting", "oldest"), *rows])
