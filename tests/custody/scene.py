"""What the tests of custody share: a keeper of small programs, agents that misbehave, and patience with a deadline."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from actors.runtime import launch, place, process
from actors.runtime.place import Hub
from actors.runtime.process import Identity, Record

T = TypeVar("T")
HOUSE = Path(__file__).parents[2]
SLEEPER = (sys.executable, "-I", "-S", "-c", "import time; time.sleep(100)")

STRAYS = """
(setsid sh -c 'echo $$ > marked; exec sleep 100' &)
(env -i PATH="$PATH" setsid sh -c 'echo $$ > cleared; exec sleep 100' &)
"""
"""A shell line that leaves two processes behind: in sessions of their own, no children of the shell, one unmarked."""

CUSTODIAN = """
import asyncio
from actors.custody.birth import Birth
from actors.custody.child import spawn
from actors.runtime import process
from actors.runtime.place import find_hub


async def forget(stream, first, lines):
    pass


async def main():
    process.adopt_orphans()
    hub = find_hub()
    mark = hub.mark(hub.custodian(process.myself()), "p1")
    child = await spawn(Birth(("sh", "-c", {does!r}), {cwd!r}, mark), forget, adopts=True)
    print(child.who, flush=True)
    await child.wait()


asyncio.run(main())
"""
"""A custodian of one agent, which ``does`` something in a shell."""

KEEPER = """
from actors.custody.keeper import Child, run
from actors.runtime.place import find_hub
from protocol.errors import Refused

try:
    run(find_hub(), tuple(Child(name, argv, grace=2.0) for name, argv in {children!r}))
except Refused as error:
    raise SystemExit(str(error))
"""


def eventually(find: Callable[[], T], seconds: float = 10.0) -> T:
    """Return what is found as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := find()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)
    return found


@contextmanager
def hub_in(folder: Path) -> Iterator[Hub]:
    """Make a hub; whatever it still holds at the end is ended."""
    hub = place.init_hub(folder)
    try:
        yield hub
    finally:
        launch.stop(hub)


def keeper_of(folder: Path, *children: tuple[str, Sequence[str]]) -> tuple[str, ...]:
    """Return the command of a keeper that keeps these children."""
    return program(folder, "keeper", KEEPER.format(children=children))


def custodian_of(folder: Path, does: str) -> tuple[str, ...]:
    """Return the command of a custodian whose one agent does something."""
    return program(folder, "custodian", CUSTODIAN.format(does=does, cwd=str(folder)))


def program(folder: Path, name: str, text: str) -> tuple[str, ...]:
    """Write a Python program that finds the house, and return the command that runs it."""
    path = folder / f"{name}.py"
    path.write_text(f"import sys\n\nsys.path.insert(0, {str(HOUSE)!r})\n{text}")
    return sys.executable, str(path)


def living(hub: Hub, name: str) -> Record | None:
    """Return the record of a process that lives."""
    record = process.read(hub.run, name)
    return record if record and process.alive(record.who) else None


def written(path: Path) -> Identity:
    """Return the process whose pid stands in a file, once it does."""
    pid = int(eventually(lambda: path.exists() and path.read_text().strip()))
    return eventually(lambda: process.identify(pid))
