"""The command ``car demo``: three tickets worked to done in a scratch hub, shown while it happens.

Whatever it starts ends with this process, however that ends.
"""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel

from actors.runtime import launch
from actors.runtime.place import Hub, find_hub, init_hub
from bridges.bridge import Door, equip_hub
from bridges.cli.complaint import complain
from bridges.cli.follow import End, Follower, reason
from bridges.cli.option import AsJson
from bridges.cli.reach import HUB, await_host, enter, expect, person, play
from bridges.cli.screen import board
from bridges.cli.show import Board
from bridges.cli.view import columns
from protocol.address import Address, token
from protocol.errors import Refused, WorkFailed
from protocol.flow import RunCompleted
from protocol.hub import AddRepo, RepoAdded
from protocol.repo import FlowAccepted, StartFlow
from protocol.session import Place
from protocol.work import Commit, Diffstat

APP = typer.Typer(rich_markup_mode=None)
AGENTS = ("demo", "codex")
FAILED = 1
FOREIGN = ("CAR_HUB", "CAR_NODE", "CAR_NATS_URL", "CAR_NATS__URL")
"""Variables that speak of another hub than the scratch one."""
TICKETS = 3
PREFIX, PASSING = "car-demo-", ".passing"
"""How a scratch folder is called, and the file in it that says that nobody wants to keep it."""
YOUNG = 300.0
"""Seconds within which a scratch folder may belong to a demo that just begins."""


class Result(BaseModel):
    """What a demo has brought. ``car_seconds`` is the time in which no agent had the turn."""

    tickets_done: int
    commits: tuple[Commit, ...]
    diffstat: Diffstat
    turns: int
    seconds: float
    car_seconds: float
    tests: str


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where a demo takes place."""

    hub: Hub
    sample: Path


@APP.command()
def demo(
    *,
    agent: Annotated[
        str, typer.Option(metavar="NAME", help="Who does the work: demo, or an installed codex.")
    ] = "demo",
    pace: Annotated[float, typer.Option(metavar="S", min=0, help="Seconds the demo agent takes for a word.")] = 0.05,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the scratch folder behind.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch three tickets being worked to done, in a scratch folder that is gone afterwards."""
    if agent not in AGENTS:
        raise typer.BadParameter(f"{agent} is none of {', '.join(AGENTS)}", param_hint="--agent")
    if agent != "demo" and not shutil.which(agent):
        raise Refused(f"{agent} is not installed (npm install -g @openai/codex brings it), or type: car demo")
    for name in FOREIGN:
        os.environ.pop(name, None)
    with scratch(keep=keep) as where, board(stderr=as_json) as shown:
        result, end = play(_perform(where, agent, pace, shown))
        if not end:
            _conclude(shown, result)
    if as_json:
        sys.stdout.write(f"{result.model_dump_json()}\n")
    if end:
        complain(end)
        raise typer.Exit(FAILED)


@contextmanager
def scratch(*, keep: bool) -> Iterator[Scratch]:
    """Make a hub and a place for the sample; in the end nothing of it runs, and nothing of it is left."""
    _sweep()
    root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    hub = init_hub(root)
    if not keep:
        (root / PASSING).touch()
    try:
        yield Scratch(hub, root / "basket")
    finally:
        launch.stop(hub)
        if keep:
            sys.stderr.write(f"kept: {root}\n")
        else:
            shutil.rmtree(root, ignore_errors=True)


def _sweep() -> None:
    """Remove what demos left behind that were killed: their processes are gone, their folders are not."""
    for mark in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{PASSING}"):
        with contextlib.suppress(OSError, Refused):
            sight = mark.lstat()
            is_old = time.time() - sight.st_mtime > YOUNG
            if (
                sight.st_uid == os.getuid()
                and is_old
                and not any(one.alive for one in launch.states(find_hub(mark.parent)))
            ):
                shutil.rmtree(mark.parent, ignore_errors=True)


async def _perform(where: Scratch, agent: str, pace: float, shown: Board) -> tuple[Result, str]:
    """Do all of it; return what it has brought, and why it is not whole (nothing where it is)."""
    begun = time.monotonic()
    _make(where, agent, pace)
    shown.say("**A small program with a failing test, and three tickets that bring it forward.**")
    shown.say("A ticket is a file that says what is to be done. An agent gets one at a time, commits its work")
    shown.say("and marks the ticket done; then comes the next.")
    shown.say(f"\n  folder   {where.sample}\n  tickets  .codex-autorunner/tickets/")
    equip_hub(where.hub, starts=True)
    launch.up_with_me(where.hub)
    await await_host(where.hub)
    shown.say(f"  CAR      runs, after {time.monotonic() - begun:.1f} s\n")
    async with enter(where.hub) as door:
        end, thought = await _run(door, where, shown)
    checked = launch.call("car-demo-sample", "check", str(where.sample))
    tests = "ok" if checked.returncode == 0 else "failed"
    done = end if isinstance(end, RunCompleted) else RunCompleted(done=0, turns=0)
    seconds = time.monotonic() - begun
    result = Result(
        tickets_done=done.done,
        commits=done.commits,
        diffstat=done.diffstat,
        turns=done.turns,
        seconds=round(seconds, 2),
        car_seconds=round(seconds - thought, 2),
        tests=tests,
    )
    if why := reason(end):
        return result, why
    if tests != "ok" or done.done != TICKETS:
        return (
            result,
            f"{done.done} of {TICKETS} tickets are done and the tests of the sample say: {_verdict(checked.stdout)}",
        )
    shown.say(f"✓ the tests pass: {_verdict(checked.stdout)}")
    return result, ""


def _make(where: Scratch, agent: str, pace: float) -> None:
    made = launch.call("car-demo-sample", str(where.sample), "--agent", agent, "--pace", str(pace))
    if made.returncode:
        said = made.stderr.strip().rpartition("\n")[2].removeprefix("car-demo-sample: ")
        raise WorkFailed(f"the sample could not be made: {said}", made.stderr)


async def _run(door: Door, where: Scratch, shown: Board) -> tuple[End, float]:
    """Let the tickets be worked through; return how that ended, and for how many seconds an agent had the turn."""
    place = Place(node=where.hub.node, path=str(where.sample))
    added = expect(await door.command(HUB, AddRepo(place=place), person()), RepoAdded)
    since = await door.last_event() + 1
    to = Address("repo", token(added.repo))
    accepted = expect(await door.command(to, StartFlow(), person()), FlowAccepted)
    follower = Follower(door, Address("run", accepted.run), shown)
    return await follower.follow(since), follower.thought


def _conclude(shown: Board, result: Result) -> None:
    """Say how long it took, and what to type next."""
    shown.say(f"✓ {result.seconds:.1f} s in all, {result.car_seconds:.1f} s of them CAR itself")
    steps = (
        ("  cd your-repository", ""),
        ("  car init", "a hub, and folders for tickets and notes"),
        ('  car ticket new "..." --agent codex', "say what is to be done"),
        ("  car up", "start CAR in the background"),
        ("  car repo add .", ""),
        ("  car flow start", "or: car chat"),
    )
    shown.say("\n**Next, in a repository of your own:**")
    for line in columns(steps):
        shown.say(line)


def _verdict(output: str) -> str:
    """Return what the tests of the sample say in the end."""
    lines = [line for line in output.splitlines() if line.startswith(("Ran ", "OK", "FAILED"))]
    return ", ".join(lines) or "nothing"
