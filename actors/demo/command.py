"""How the demo agent runs commands: each in a process group of its own, which ends with the turn."""

import asyncio
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from protocol.errors import WorkFailed

_SHOWN = 20_000
_GRACE = 1.0
_NOBODY = ("-c", "user.name=CAR demo agent", "-c", "user.email=demo@example.invalid")


class Outcome(NamedTuple):
    """How a command ended: its exit code (negative for a signal), and what it printed (its end)."""

    code: int
    output: str


async def run(argv: Sequence[str], cwd: Path) -> Outcome:
    """Run a command to its end. Whoever cancels this ends the command and its process group, within a second."""
    # A file, not a pipe: what a command leaves behind in the background may hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        process = _start(argv, cwd, output)
        try:
            code = await asyncio.to_thread(process.wait)
        except asyncio.CancelledError:
            _end(process)
            raise
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _SHOWN))
        return Outcome(code, output.read().decode(errors="replace").strip())


async def run_shell(command: str, cwd: Path) -> Outcome:
    """Run a line of shell to its end, as ``run`` does."""
    return await run(("/bin/sh", "-c", command), cwd)


def spawn(command: str, cwd: Path) -> int:
    """Start a line of shell in a session of its own, wait for nothing, and return its process id."""
    with Path(os.devnull).open("r+b") as nowhere:
        return _start(("/bin/sh", "-c", command), cwd, nowhere).pid


async def commit(message: str, cwd: Path) -> str:
    """Commit everything that has changed, and return the short id; nothing where nothing has changed."""
    await _git(("add", "-A"), cwd)
    if (await run(("git", "diff", "--cached", "--quiet"), cwd)).code == 0:
        return ""
    # Git guesses an identity from the machine's name where none is given: such a commit would be nobody's.
    known = await run(("git", "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT"), cwd)
    await _git((*(() if known.code == 0 else _NOBODY), "commit", "-q", "-m", message), cwd)
    return await _git(("rev-parse", "--short", "HEAD"), cwd)


async def _git(arguments: Sequence[str], cwd: Path) -> str:
    """Run git, or raise ``WorkFailed`` with what it complained about."""
    outcome = await run(("git", *arguments), cwd)
    if outcome.code:
        verb = next(one for one in arguments if one in {"add", "commit", "rev-parse"})
        raise WorkFailed(f"git {verb} failed in {cwd} with exit code {outcome.code}.", outcome.output)
    return outcome.output


def _start(argv: Sequence[str], cwd: Path, output: BinaryIO) -> subprocess.Popen[bytes]:
    """Start a process that shares neither stdin nor stdout with the agent: those belong to the protocol."""
    try:
        return subprocess.Popen(  # noqa: S603 - to run what a ticket says is what this agent is for
            argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    except FileNotFoundError as error:
        raise WorkFailed(f"{error.filename} is not there; install it or put it on the PATH.") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its process group."""
    # A git that is killed leaves its lock behind, one that is terminated does not.
    with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_GRACE)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
