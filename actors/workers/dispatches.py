"""The hands for what agent and person write to each other: they put it into the numbered history of a run."""

from contextlib import suppress
from pathlib import Path

from actors.runtime.worker import Worker, does
from actors.workers import disk
from protocol import dispatch
from protocol.errors import Unreadable, WorkFailed
from protocol.work import Collect, Collected, Note, Noted

_BODY = 32_000
"""Characters of a dispatch that are told; all of it stays in the history."""


def _collect(command: Collect) -> Collected:
    """Move a dispatch into the history.

    Every step is a rename and the folder gets its number last. So whoever was cut off in between is carried on by the
    next who comes, nothing is ever there twice, and a number that is there is never touched again. What cannot be
    read stays where it is, to be mended and collected under the same number.
    """
    run = disk.run_folder(command.checkout, command.run)
    kept = run / "dispatch_history" / f"{command.number:04d}"
    half = kept.with_name(f".{kept.name}")
    if not kept.exists():
        written = half if (half / dispatch.DISPATCH).exists() else run
        try:
            _read(written)
        except FileNotFoundError:
            return Collected()
        except Unreadable as error:
            return Collected(problem=str(error))
        _move(run, half)
        half.rename(kept)
        disk.settle(kept.parent)
    return _told(command.checkout, kept)


def _read(folder: Path) -> dispatch.Dispatch:
    try:
        text = disk.read(folder / dispatch.DISPATCH)
    except Unreadable as error:
        raise Unreadable(f"{dispatch.DISPATCH}: {error}") from error
    return dispatch.read(text)


def _move(run: Path, half: Path) -> None:
    """Move the attachments, then the message; whatever is not there has been moved before."""
    half.mkdir(parents=True, exist_ok=True)
    attached = run / "dispatch"
    for item in sorted(attached.iterdir()) if attached.is_dir() else ():
        if not item.name.startswith("."):
            # An attachment of the message's own name would be taken for the message (also where case does not count).
            taken = item.name.casefold() == dispatch.DISPATCH.casefold()
            item.rename(half / (f"attached-{item.name}" if taken else item.name))
    with suppress(FileNotFoundError):
        (run / dispatch.DISPATCH).rename(half / dispatch.DISPATCH)


def _told(checkout: str, kept: Path) -> Collected:
    try:
        found = _read(kept)
    except Unreadable as error:
        return Collected(problem=f"{kept}: {error}")
    path = kept.relative_to(checkout)
    names = sorted(disk.shown(item.name) for item in kept.iterdir() if item.name != dispatch.DISPATCH)
    body = found.body
    if len(body) > _BODY:
        body = f"{body[:_BODY]}\n\n(The rest is in {path / dispatch.DISPATCH}.)"
    files = tuple(f"{path.as_posix()}/{name}" for name in names)
    return Collected(mode=found.mode, title=found.title, body=body, files=files)


def _note(command: Note) -> Noted:
    run = disk.run_folder(command.checkout, command.run)
    path = run / "reply_history" / f"{command.number:04d}" / dispatch.REPLY
    text = dispatch.reply(command.text)
    try:
        disk.write(path, text, fresh=True)
    except FileExistsError:
        if _kept(path) != text:
            raise WorkFailed(f"{path} holds another reply; move it away and answer again") from None
    return Noted(path=path.relative_to(command.checkout).as_posix())


def _kept(path: Path) -> str | None:
    try:
        return disk.read(path)
    except Unreadable:
        return None


WORKER = Worker("dispatches", dict((does(Collect, disk.in_thread(_collect)), does(Note, disk.in_thread(_note)))))
