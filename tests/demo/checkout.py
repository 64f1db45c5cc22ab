"""A git repository with a ticket, for the demo agent to work in."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.demo.client import CLEAN

TICKET = ".codex-autorunner/tickets/TICKET-001-try.md"
DISPATCH = ".codex-autorunner/runs/run-1/DISPATCH.md"
HEAD = '---\n# a remark\nagent:  "demo"\ndone: false   # not yet\ntitle: Try it\nodd: [1,2]\n---\n'
PATIENCE = 10


@dataclass(frozen=True)
class Checkout:
    """A repository on the branch main with one commit."""

    path: Path

    def git(self, *arguments: str) -> str:
        """Run git in it and return what it prints."""
        return subprocess.run(
            ("git", *arguments), cwd=self.path, env=CLEAN, check=True, capture_output=True, text=True
        ).stdout.strip()

    def plan(self, steps: str, head: str = HEAD) -> str:
        """Write the ticket, and return the prompt that hands it over."""
        self.write(TICKET, f"{head}\nTry the demo agent.\n\n```demo\n{steps}```\n")
        return self.hand_over()

    def hand_over(self, more: str = "") -> str:
        """Return the prompt for the ticket as it is."""
        return (
            f"<CAR_RUNTIME_PATHS>\nticket: {TICKET}\ndispatch: {DISPATCH}\n</CAR_RUNTIME_PATHS>\n{more}"
            f"<CAR_CURRENT_TICKET_FILE>\npath: {TICKET}\nan old copy of it\n</CAR_CURRENT_TICKET_FILE>\n"
        )

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        (self.path / path).parent.mkdir(parents=True, exist_ok=True)
        (self.path / path).write_text(text)

    def read(self, path: str) -> str:
        """Read a file."""
        return (self.path / path).read_text()

    @property
    def done(self) -> bool:
        """Whether the ticket says that it is done."""
        return "\ndone: true" in self.read(TICKET)

    @property
    def subjects(self) -> list[str]:
        """The subjects of the commits, newest first."""
        return self.git("log", "--format=%s").splitlines()


def make_checkout(path: Path, *, identity: bool = True) -> Checkout:
    """Make a repository with a commit of one file."""
    checkout = Checkout(path / "checkout")
    checkout.write("hello.txt", "hello\n")
    checkout.write(".codex-autorunner/.gitignore", "*\n")
    checkout.git("init", "-q", "-b", "main")
    checkout.git("add", "-A")
    someone = ("-c", "user.name=Ann", "-c", "user.email=ann@example.invalid")
    checkout.git(*someone, "commit", "-q", "-m", "first")
    if identity:
        checkout.git("config", "user.name", "Ann")
        checkout.git("config", "user.email", "ann@example.invalid")
    return checkout


def wait_for_numbers(path: Path, count: int) -> list[int]:
    """Wait until a file holds so many process ids, and return them."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if path.exists() and len(path.read_text().split()) == count:
            return [int(one) for one in path.read_text().split()]
        time.sleep(0.01)
    raise AssertionError(f"{path} does not hold {count} numbers")


def lives(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ends(pid: int) -> bool:
    """Wait for a process to end, and tell whether it did."""
    end = time.monotonic() + PATIENCE
    while lives(pid) and time.monotonic() < end:
        time.sleep(0.01)
    return not lives(pid)
