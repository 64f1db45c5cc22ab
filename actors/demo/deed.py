"""How the demo agent does one step of a demo block, and tells of it."""

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from actors.demo import script
from actors.demo.command import commit, run_shell, spawn
from actors.demo.report import Report
from protocol.errors import Refused, Unreadable, WorkFailed
from protocol.frontmatter import set_key

_TITLE = 80


@dataclass(slots=True)
class Turn:
    """One turn: in which checkout, on which ticket (or none), and to whom it is told."""

    cwd: Path
    ticket: str
    report: Report
    pace: float = 0
    reply: str = ""


async def do(step: script.Step, turn: Turn) -> None:
    """Do one step, whatever it is; raise ``WorkFailed`` where it cannot be done."""
    match step:
        case script.Say(text=text, pace=pace):
            await turn.report.say(_fill(text, turn), turn.pace if pace is None else pace)
        case script.Rest(text=text):
            await turn.report.say(_fill(text, turn), turn.pace)
        case script.Pace(seconds=seconds):
            turn.pace = seconds
        case script.Stream(count=count, pace=pace):
            await turn.report.count(count, turn.pace if pace is None else pace)
        case script.Wait(seconds=seconds):
            await asyncio.sleep(seconds)
        case script.Nonsense(text=text):
            await turn.report.babble(text)
        case script.Die(code=code):
            _die(code)
        case _:
            await _work(step, turn)


async def _work(step: script.Step, turn: Turn) -> None:
    """Do a step that works on the checkout."""
    match step:
        case script.Write(path=path, text=text):
            await put(_inside(turn.cwd, path), _fill(text, turn), turn)
        case script.Edit():
            await _edit(step, turn)
        case script.Run():
            await _run(step, turn)
        case script.Spawn(cmd=cmd):
            call = await turn.report.begin(_title(cmd), "execute")
            await turn.report.end(call, f"process {spawn(cmd, turn.cwd)}")
        case script.Commit(message=message):
            await commit_all(_fill(message, turn), turn)
        case script.Done(value=value):
            await write_done(turn, value=value)
        case _:
            await _ask_client(step, turn)


async def _ask_client(step: script.Step, turn: Turn) -> None:
    """Do a step that the client must help with. What it refuses is told, and the work goes on."""
    try:
        match step:
            case script.Read(path=path):
                await turn.report.read(turn.cwd / path)
            case script.Save(path=path, text=text):
                await turn.report.save(turn.cwd / path, _fill(text, turn))
            case script.Permission():
                await _ask_permission(step, turn)
    except Refused as refusal:
        await turn.report.say(f"That was refused: {refusal}.", turn.pace)


async def put(path: Path, text: str, turn: Turn) -> None:
    """Write a file, with the folders that it needs; leave one alone that says this already."""
    old = _read(path)
    if old != text:
        _write(path, text)
        await turn.report.show_change(path, old, text)


async def commit_all(message: str, turn: Turn) -> None:
    """Commit everything that has changed, and tell the commit's id; do nothing where nothing has changed."""
    title = _title(f"git commit: {message}")
    try:
        made = await commit(message, turn.cwd)
    except WorkFailed as error:
        await turn.report.end(await turn.report.begin(title, "execute"), error.output, good=False)
        raise
    if made:
        await turn.report.end(await turn.report.begin(title, "execute"), made)


async def write_done(turn: Turn, *, value: bool) -> None:
    """Write into the ticket whether it is done, and change nothing else in it."""
    path = turn.cwd / turn.ticket
    text = _read(path) if turn.ticket else None
    if text is None:
        raise WorkFailed("There is no ticket that could be done.")
    try:
        changed = set_key(text, "done", value)
    except Unreadable as error:
        raise WorkFailed(f"I cannot write into {turn.ticket} whether it is done: {error}.") from error
    await put(path, changed, turn)


async def _edit(step: script.Edit, turn: Turn) -> None:
    """Change the first place of a text, unless the new text is there already."""
    path = _inside(turn.cwd, step.path)
    text, new = _read(path), _fill(step.new, turn)
    if text is None:
        raise WorkFailed(f"{step.path} is not there, so it cannot be edited.")
    if step.old in text and new not in text:
        await put(path, text.replace(step.old, new, 1), turn)
    elif step.old not in text and new not in text:
        raise WorkFailed(f"{step.path} does not hold the text that I was to change: {step.old.strip()}")


async def _run(step: script.Run, turn: Turn) -> None:
    """Run a command and show what it printed; raise ``WorkFailed`` where it does not end as expected."""
    call = await turn.report.begin(_title(step.cmd), "execute")
    try:
        code, output = await run_shell(step.cmd, turn.cwd)
    except asyncio.CancelledError:
        # Where the client is gone there is nobody to tell.
        with suppress(ConnectionError):
            await turn.report.end(call, "cancelled", good=False)
        raise
    good = (code != 0) == (step.expect == "fail")
    await turn.report.end(call, f"{output}\n(exit code {code})".strip(), good=good)
    if not good:
        hope = "did not fail, and should have" if step.expect == "fail" else f"failed with exit code {code}"
        raise WorkFailed(f"This command {hope}: {_title(step.cmd)}", output)


async def _ask_permission(step: script.Permission, turn: Turn) -> None:
    """Ask the client, and obey."""
    path = turn.cwd / step.path
    if not await turn.report.ask_permission(step.title, path):
        raise Refused(step.title)
    await turn.report.say(f"I was allowed to: {step.title}.", turn.pace)
    if step.text is not None:
        await put(path, _fill(step.text, turn), turn)


def _die(code: int) -> None:
    """Leave at once, with nothing cleaned up, as a crash does."""
    if code < 0:
        with suppress(OSError):  # there are signals whose default cannot be changed, so it need not be restored
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(0, code))


def _fill(text: str, turn: Turn) -> str:
    """Put a person's answer into a text."""
    return text.replace("{reply}", turn.reply)


def _inside(cwd: Path, path: str) -> Path:
    """Return a path of the checkout; raise ``WorkFailed`` for one that leads out of it."""
    whole = (cwd / path).resolve()
    if not whole.is_relative_to(cwd.resolve()):
        raise WorkFailed(f"{path} lies outside of {cwd}; I write only inside of it.")
    return whole


def _read(path: Path) -> str | None:
    """Return the text of a file with its line ends as they are, or nothing where there is none."""
    try:
        return path.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise WorkFailed(f"{path} cannot be read: {error}") from error


def _write(path: Path, text: str) -> None:
    """Write a file, with the folders that it needs."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    except OSError as error:
        raise WorkFailed(f"{path} cannot be written: {error}") from error


def _title(command: str) -> str:
    """Return the first line of a command, cut where it is long."""
    line = (command.strip().splitlines() or [""])[0]
    return line if len(line) <= _TITLE else f"{line[: _TITLE - 3]}..."
