"""The hands for single files of a checkout, on behalf of agents: nothing outside of it is read or written."""

import os
from pathlib import Path

from actors.runtime.worker import Worker, does
from actors.workers import disk
from protocol.errors import Unreadable, WorkFailed
from protocol.work import FileText, FileWritten, ReadFile, WriteFile


def _read_file(command: ReadFile) -> FileText:
    path = _inside(command.checkout, command.path)
    if not path.exists():
        raise WorkFailed(f"{path} does not exist; name a file that does")
    if not path.is_file():
        raise WorkFailed(f"{path} is no regular file; name a file")
    try:
        return FileText(text=_lines(path, max(command.line, 1), command.limit))
    except Unreadable as error:
        raise WorkFailed(f"{path} cannot be read: {error}") from error


def _write_file(command: WriteFile) -> FileWritten:
    path = _inside(command.checkout, command.path)
    if path.is_dir():
        raise WorkFailed(f"{path} is a folder; name a file inside of it")
    disk.write(path, command.text)
    return FileWritten()


def _inside(checkout: str, path: str) -> Path:
    """Return where a path truly leads, links resolved, whether or not it is there yet."""
    folder = os.path.realpath(disk.checkout(checkout))
    if "\0" in path:
        raise WorkFailed("a path with a zero byte in it names no file; take it out")
    found = Path(os.path.realpath(Path(folder) / path))
    if not found.is_relative_to(folder):
        raise WorkFailed(f"{path} lies outside of the checkout {checkout}; name a file inside of it")
    return found


def _lines(path: Path, first: int, limit: int) -> str:
    """Read some lines of a file; no more of it is held in memory than may be told."""
    read: list[bytes] = []
    size, number = 0, 0
    with path.open("rb") as file:
        while (not limit or number < first - 1 + limit) and (line := file.readline(disk.LIMIT + 1)):
            number += 1
            if number >= first:
                read.append(line)
                size += len(line)
            if size > disk.LIMIT or len(line) > disk.LIMIT:
                raise Unreadable(f"that is longer than {disk.LIMIT} bytes; read it in parts, by line and limit")
    return disk.decode(b"".join(read))


WORKER = Worker(
    "files", dict((does(ReadFile, disk.in_thread(_read_file)), does(WriteFile, disk.in_thread(_write_file))))
)
