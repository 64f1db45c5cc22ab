"""The disk as the workers see it: whole texts, written at once or not at all, and every error one sentence."""

import errno
import os
import re
import secrets
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from anyio import to_thread

from protocol.errors import Unreadable, WorkFailed
from protocol.message import Event
from protocol.work import Work

CAR = ".codex-autorunner"
LIMIT = 1_000_000
"""Bytes of the longest text that is read or written."""
RESERVE = 500_000_000
"""Bytes that a disk must have left for new work to begin: what runs may then come to its end on them."""
_PART = 10
"""Of a small disk, this part of it is enough."""

_MB = 1_000_000
_RUN = re.compile(r"[A-Za-z0-9_-]+")
_MEND = {
    errno.ENOSPC: "make room on that disk",
    errno.EDQUOT: "make room there, or ask for a larger quota",
    errno.EACCES: "let the user who runs CAR read and write there",
    errno.EPERM: "let the user who runs CAR read and write there",
    errno.EROFS: "mount that disk for writing",
    errno.EEXIST: "move what is there out of the way",
    errno.ENOTDIR: "move the file out of the way that stands where a folder should be",
    errno.EISDIR: "name a file inside of it",
    errno.ENOENT: "put it back, or name another",
    errno.ELOOP: "mend the symbolic links on the way",
    errno.ENAMETOOLONG: "choose a shorter name",
}

W = TypeVar("W", bound=Work)


def in_thread(do: Callable[[W], Event]) -> Callable[[W], Awaitable[Event]]:
    """Let a function that touches the disk do its work in a thread; an error of the disk becomes ``WorkFailed``."""

    async def done(command: W) -> Event:
        try:
            return await to_thread.run_sync(do, command)
        except OSError as error:
            raise WorkFailed(sentence(error)) from error

    return done


def sentence(error: OSError, path: Path | None = None) -> str:
    """Say what is wrong with which path, and how to mend it."""
    where = path or (os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "a file")
    mend = _MEND.get(error.errno or 0, "see what is there and who may use it")
    return f"{shown(str(where))}: {error.strerror or error}; {mend}"


def shown(name: str) -> str:
    """Return a path as text that a message can carry; bytes that are no UTF-8 are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def checkout(path: str) -> Path:
    """Return the folder of a checkout; raise ``WorkFailed`` where there is none."""
    folder = Path(path)
    if "\0" in path or not folder.is_dir():
        raise WorkFailed(f"{path} is no folder; put the checkout back there")
    return folder


def run_folder(path: str, run: str) -> Path:
    """Return the folder of a run in a checkout, whether or not it is there."""
    if not _RUN.fullmatch(run):
        raise WorkFailed(f"{run!r} is no id of a run; an id has letters, digits, _ and - only")
    return checkout(path) / CAR / "runs" / run


def read(path: Path, limit: int = LIMIT) -> str:
    """Read a text whole, its line endings as they are; raise ``Unreadable`` where it is no text or too long."""
    if path.exists() and not path.is_file():
        raise Unreadable("it is no regular file; put a text file in its place")
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise Unreadable(f"it is longer than {limit} bytes; shorten it")
    return decode(data)


def decode(data: bytes) -> str:
    """Read bytes as UTF-8; raise ``Unreadable`` where they are none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"it is no UTF-8 (at byte {error.start}); save it as UTF-8") from error


def write(path: Path, text: str, *, fresh: bool = False) -> None:
    """Write a text whole, in a folder that is made where it is missing.

    A reader sees the old text or the new one, also after a power cut.

    With ``fresh`` nothing is ever replaced: raises ``FileExistsError`` where the path is taken.
    """
    data = text.encode()
    if len(data) > LIMIT:
        raise WorkFailed(f"{path} is not written: the text is longer than {LIMIT} bytes; write it in parts")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".car-{secrets.token_hex(8)}.tmp")  # hidden, and nobody else's
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            os.link(temporary, path)
        else:
            if path.exists():
                temporary.chmod(stat.S_IMODE(path.stat().st_mode))
            temporary.replace(path)
        settle(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise WorkFailed(sentence(error, path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def want_room(folder: Path, reserve: int = RESERVE) -> None:
    """Raise ``WorkFailed`` where a disk has less left than new work should find; who works goes on to the last byte."""
    disk = os.statvfs(folder)
    left, wanted = disk.f_bavail * disk.f_frsize, min(reserve, disk.f_blocks * disk.f_frsize // _PART)
    if left < wanted:
        raise WorkFailed(
            f"the disk of {folder} has {left / _MB:.0f} MB left, and nothing new is begun below {wanted / _MB:.0f} MB; "
            "make room there"
        )


def settle(folder: Path) -> None:
    """Have the names in a folder on the disk, so that a power cut does not take them back."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
