"""The sample repository: a small program with a failing test, and three tickets that bring it forward."""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from actors.demo.plan import DOCUMENTS, write_tickets
from actors.demo.program import FILES
from protocol.errors import CarError, Refused, WorkFailed

_PATIENCE = 60
_SETTINGS = {
    "user.name": "CAR demo",
    "user.email": "demo@example.invalid",
    "commit.gpgsign": "false",
    "tag.gpgsign": "false",
    "core.autocrlf": "false",
    # The person's own hooks are for the person's own repositories.
    "core.hooksPath": ".git/hooks",
}


class Check(NamedTuple):
    """Whether the tests of the sample pass, and what they printed."""

    ok: bool
    output: str


def make(path: Path, agent: str = "demo", pace: float = 0.05) -> None:
    """Create the sample repository with one commit and three tickets for an agent.

    ``pace`` is how long the demo agent takes for a word, in seconds. Raises ``Refused`` where something is already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise Refused(f"{path} is there already; choose a path where nothing is.")
    _write(path, FILES)
    _git(path, "init", "-q", "--template=", "-b", "main")
    for key, value in _SETTINGS.items():
        _git(path, "config", key, value)
    _git(path, "add", "-A")
    _git(path, "commit", "-q", "-m", "A basket that adds up prices")
    home = path / ".codex-autorunner"
    _write(home, {".gitignore": "*\n"})
    _write(home / "tickets", write_tickets(agent, pace))
    _write(home / "workspace", DOCUMENTS)


def check(path: Path) -> Check:
    """Run the tests of the sample."""
    ran = subprocess.run(
        (sys.executable, "-m", "unittest"),
        cwd=path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    return Check(ran.returncode == 0, ran.stdout)


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder that may be new."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def _git(path: Path, *arguments: str) -> None:
    """Run git in the sample; raise ``WorkFailed`` with what it complained about."""
    # Where we are started by a hook, git's own variables point at another repository or speak for another person.
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        ran = subprocess.run(  # noqa: S603 - fixed arguments
            ("git", *arguments),  # noqa: S607 - the person's own git
            cwd=path,
            env=clean,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except FileNotFoundError as error:
        raise WorkFailed("git is not installed; install it and try again.") from error
    if ran.returncode:
        raise WorkFailed(f"git {arguments[0]} failed in {path}.", ran.stderr)


def main() -> None:
    """Be the program ``car-demo-sample``: make the sample in a folder, or check one."""
    parser = argparse.ArgumentParser("car-demo-sample", description="The sample repository of the demo of CAR.")
    parser.add_argument("words", nargs="+", metavar="[check] PATH", help="where to make it, or which to test")
    parser.add_argument("--agent", default="demo", help="who works on its tickets")
    parser.add_argument("--pace", type=float, default=0.05, help="seconds that the demo agent takes for a word")
    given = parser.parse_args()
    match given.words:
        case ["check", path]:
            result = check(Path(path))
            sys.stdout.write(result.output)
            sys.exit(0 if result.ok else 1)
        case [path]:
            try:
                make(Path(path), given.agent, given.pace)
            except CarError as error:
                sys.exit(f"car-demo-sample: {error}")
        case _:
            parser.error("name one path")
