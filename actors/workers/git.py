"""The hands for git: they look at a checkout and never change it."""

import os
import shlex
from collections.abc import Mapping
from subprocess import DEVNULL, CompletedProcess

import anyio

from actors.runtime.worker import Worker, does
from actors.workers import disk
from protocol.errors import WorkFailed
from protocol.work import Commit, Diffstat, Inspect, Probe, Probed, Tree

_MOST = 50
"""Paths and commits that are told."""

_GIT = ("git", "-c", "core.quotePath=false", "-c", "core.fsmonitor=false")
"""A file system monitor is a program that the checkout names: an agent could name one of its own."""

_KEPT = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_EXEC_PATH"})


async def _probe(command: Probe) -> Probed:
    top = await _top(command.path)
    return Probed(path=top, branch=await _branch(top), head=await _head(top))


async def _inspect(command: Inspect) -> Tree:
    checkout = command.checkout
    await _top(checkout)
    head = await _head(checkout)
    tree = Tree(head=head, branch=await _branch(checkout), dirty=await _dirty(checkout))
    since = await _commit(checkout, command.since)
    if not since or not head:
        # A commit may be gone by the agent's own doing (a rewritten and pruned history): where the checkout stands
        # is worth telling all the same, only the comparison is left out.
        return tree
    commits, diffstat = await _commits(checkout, since, head), await _diffstat(checkout, since)
    return tree.model_copy(update={"commits": commits, "diffstat": diffstat})


async def _top(path: str) -> str:
    """Return the top folder of the checkout in which a path lies."""
    if not await _is_folder(path):
        raise WorkFailed(f"{path} is no folder; name the folder of a git checkout")
    found = await _git(path, "rev-parse", "--show-toplevel")
    if found.returncode == 0:
        return _text(found.stdout.removesuffix(b"\n"))
    said, quoted = found.stderr.decode(errors="replace"), shlex.quote(path)
    if "not a git repository" in said:
        raise WorkFailed(f"{path} is no git checkout; make it one with: git init {quoted}", said)
    if "dubious ownership" in said:
        raise WorkFailed(
            f"{path} belongs to another user; trust it with: git config --global --add safe.directory {quoted}", said
        )
    if "must be run in a work tree" in said:
        raise WorkFailed(f"{path} has no files to work on (it is a bare repository); name a clone of it", said)
    raise _failed(path, "rev-parse", said)


async def _is_folder(path: str) -> bool:
    try:
        return "\0" not in path and await anyio.Path(path).is_dir()
    except OSError as error:
        raise WorkFailed(disk.sentence(error)) from error


async def _head(checkout: str) -> str:
    return await _commit(checkout, "HEAD")


async def _commit(checkout: str, name: str) -> str:
    """Return the full id of a commit; empty where there is none of this name."""
    if not name:
        return ""
    found = await _git(checkout, "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
    return _text(found.stdout).strip() if found.returncode == 0 else ""


async def _branch(checkout: str) -> str:
    """Return the branch, also before its first commit; empty where the head is detached."""
    found = await _git(checkout, "symbolic-ref", "--quiet", "--short", "HEAD")
    return _text(found.stdout).strip() if found.returncode == 0 else ""


async def _dirty(checkout: str) -> tuple[str, ...]:
    """Return the paths that differ from the last commit; of a rename both, of a new folder the folder."""
    out = await _output(checkout, "status", "--porcelain=v1", "-z", "--untracked-files=normal", "--no-renames")
    return tuple(entry[3:] for entry in out.split("\0") if entry)[:_MOST]


async def _commits(checkout: str, since: str, head: str) -> tuple[Commit, ...]:
    """Return the newest commits since another, the oldest of them first."""
    out = await _output(
        checkout,
        *("log", "--reverse", f"--max-count={_MOST}", "-z", "--format=%H %s"),
        *("--encoding=UTF-8", "--no-color", "--no-show-signature", f"{since}..{head}", "--"),
    )
    split = (entry.partition(" ") for entry in out.split("\0") if entry)
    return tuple(Commit(id=id_, subject=subject) for id_, _, subject in split)


async def _diffstat(checkout: str, since: str) -> Diffstat:
    """Compare the files as they are now with a commit; those that git does not know yet are not counted."""
    out = await _output(checkout, "diff", "--numstat", "--find-renames", "--no-color", since, "--")
    rows = [line.split("\t") for line in out.split("\n") if line]
    counted = [(int(plus), int(minus)) for plus, minus, *_ in rows if plus != "-"]  # a binary file has no lines
    return Diffstat(
        files=len(rows), insertions=sum(plus for plus, _ in counted), deletions=sum(minus for _, minus in counted)
    )


async def _output(checkout: str, *args: str) -> str:
    found = await _git(checkout, *args)
    if found.returncode != 0:
        raise _failed(checkout, args[0], found.stderr.decode(errors="replace"))
    return _text(found.stdout)


async def _git(checkout: str, *args: str) -> CompletedProcess[bytes]:
    try:
        return await anyio.run_process(
            [*_GIT, "-C", checkout, *args], stdin=DEVNULL, check=False, env=_environment(os.environ)
        )
    except FileNotFoundError as error:
        raise WorkFailed("git is not to be found on the PATH of CAR; install git, or add its folder to PATH") from error
    except PermissionError as error:
        raise WorkFailed("git may not be run by the user who runs CAR; let it be run") from error


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what git may know: nothing that points it to another repository or index, as inside of a git hook."""
    kept = {name: value for name, value in ours.items() if not name.startswith("GIT_") or name in _KEPT}
    return kept | {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _failed(checkout: str, verb: str, said: str) -> WorkFailed:
    lines = said.strip().splitlines()
    why = lines[0].removeprefix("fatal: ") if lines else "it said nothing"
    return WorkFailed(f"git {verb} failed in {checkout}: {why}; try it there by hand", said[-4000:])


WORKER = Worker("git", dict((does(Probe, _probe), does(Inspect, _inspect))))
