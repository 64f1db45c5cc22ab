"""The terminal as the tests use it: a command of ``car`` in a folder, what it says, how it ends."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from actors.runtime import launch, process
from actors.runtime.place import Hub
from tests.server import until
from tests.world import beside

DONE, FAILED, USAGE, REFUSED, UNREACHABLE = range(5)
PATIENCE = 90.0


class Said(NamedTuple):
    """How a command ended and what it said; ``out`` and ``err`` without the last line end."""

    code: int
    out: str
    err: str = ""


async def car(hub: Hub | None, *words: str, at: Path, env: Mapping[str, str] | None = None) -> Said:
    """Type a command in a folder and wait for its end; without a hub none is named."""
    running = await begin_car(hub, *words, at=at, env=env)
    return await end_of(running)


async def begin_car(
    hub: Hub | None, *words: str, at: Path, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Type a command in a folder, and look away."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAR_")}
    named = {"CAR_HUB": str(hub.root)} if hub else {}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        beside("car"), *words, cwd=at, env={**own, **named, **(env or {})}, stdin=pipe, stdout=pipe, stderr=pipe
    )


async def end_of(running: asyncio.subprocess.Process, typed: str = "") -> Said:
    """Type lines into a command and wait for its end."""
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await running.communicate(typed.encode())
    except TimeoutError:
        running.kill()
        raise
    return Said(running.returncode or 0, out.decode().removesuffix("\n"), err.decode().removesuffix("\n"))


@asynccontextmanager
async def ending(hub: Hub) -> AsyncIterator[None]:
    """See that nothing of a hub is left, whatever has happened to it."""
    try:
        yield
    finally:
        await asyncio.to_thread(launch.stop, hub)
        await gone(hub)


async def gone(hub: Hub, seconds: float = 10) -> None:
    """Wait until nothing of a hub runs, neither of its own processes nor of those in custody."""
    await until(lambda: not any(one.alive for one in launch.states(hub)), seconds)
    await until(lambda: not process.marked(f"{hub.token}."), seconds)
