"""The terminal as the tests use it: a command of ``car`` in a folder, what it says, how it ends, what is left then."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from actors.runtime import launch, process
from actors.runtime.place import Hub
from bridges.bridge import Door
from tests.live.checkout import checkout, git
from tests.live.scene import told
from tests.server import until
from tests.world import beside, hub_at_work

DONE, FAILED, USAGE, REFUSED, UNREACHABLE = range(5)
PATIENCE = 90.0
BUTTONS = "[1] Resume   [2] Stop"


class Said(NamedTuple):
    """How a command ended and what it said, without the last line end."""

    code: int
    out: str
    err: str = ""


async def car(hub: Hub | None, *words: str, at: Path, env: Mapping[str, str] | None = None, typed: str = "") -> Said:
    """Type a command in a folder, and then lines into it, and wait for its end."""
    running = await begin_car(hub, *words, at=at, env=env)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await running.communicate(typed.encode())
    except TimeoutError:
        running.kill()
        raise
    return Said(running.returncode or 0, out.decode().removesuffix("\n"), err.decode().removesuffix("\n"))


async def begin_car(
    hub: Hub | None, *words: str, at: Path, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Type a command in a folder, and look away; without a hub none is named."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CAR_")}
    named = {"CAR_HUB": str(hub.root)} if hub else {}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        beside("car"), *words, cwd=at, env={**own, **named, **(env or {})}, stdin=pipe, stdout=pipe, stderr=pipe
    )


@dataclass(frozen=True, slots=True)
class Desk:
    """A hub at work that knows one checkout, and a terminal in there."""

    hub: Hub
    door: Door
    shop: Path

    @property
    def ticket(self) -> Path:
        return self.shop / ".codex-autorunner" / "tickets" / "TICKET-001.md"

    async def car(self, *words: str, typed: str = "") -> Said:
        return await car(self.hub, *words, at=self.shop, typed=typed)

    async def say(self, line: str) -> Said:
        return await self.car("say", line)

    async def card(self) -> str:
        """Return the card that shows how it stands with the run."""
        return (await self.say("/flow status")).out

    async def stands(self) -> str:
        """Return the first line of how it stands with the run."""
        said = await self.car("flow", "status")
        assert said.code == DONE, said
        return said.out.split("\n")[0]

    def change(self, old: str, new: str) -> None:
        """Change the ticket, as a person does."""
        text = self.ticket.read_text()
        assert old in text
        self.ticket.write_text(text.replace(old, new))

    async def agents_gone(self) -> None:
        await until(lambda: not process.marked(f"{self.hub.token}."), 10)

    async def turns(self) -> int:
        return len(await told(self.door, "session.TurnStarted"))


def at_desk(
    tmp_path: Path,
    tell: Callable[[Desk], Awaitable[None]],
    *bodies: str,
    settings: str = "",
    env: Mapping[str, str] | None = None,
) -> None:
    """Tell a story at a desk: a checkout with a ticket for each body, known to a hub at work."""

    async def run() -> None:
        shop = checkout(tmp_path / "shop", *bodies)
        async with hub_at_work(tmp_path, settings, env) as (hub, door):
            desk = Desk(hub, door, shop)
            assert await desk.car("repo", "add", ".") == Said(DONE, f"shop is in the hub\n{shop}")
            await tell(desk)

    asyncio.run(run())


def picture(folder: Path) -> dict[str, str]:
    """Return all that a person would miss of a checkout: its files, its commits, what git says of it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and ".git" not in path.parts)
    seen = {str(path.relative_to(folder)): path.read_text() for path in files}
    return {**seen, "commits": git(folder, "log", "--format=%H"), "status": git(folder, "status", "--porcelain")}


async def nothing_runs(hub: Hub, seconds: float = 10) -> None:
    """Wait until nothing of a hub runs, neither of its own processes nor of those in custody."""
    await until(lambda: not any(one.alive for one in launch.states(hub)), seconds)
    await until(lambda: not process.marked(f"{hub.token}."), seconds)


def concerned(folder: Path) -> list[str]:
    """Return the processes in whose command, environment or folder a folder is named."""
    found = []
    for one in psutil.process_iter(["cmdline", "environ", "cwd"]):
        words = (*(one.info["cmdline"] or ()), *(one.info["environ"] or {}).values(), one.info["cwd"] or "")
        if any(str(folder) in word for word in words):
            found.append(" ".join(one.info["cmdline"] or ()))
    return found
