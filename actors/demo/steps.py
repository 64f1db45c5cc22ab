"""How the demo agent takes the steps of a ticket in order, and what it remembers of them from turn to turn.

No step is taken twice in a session: its memory holds the steps that are behind it, and a later turn on the ticket (a
repair, a reply) passes over those with which the block still begins; where the block was edited it goes on from the
first difference. A session that knows nothing of earlier turns begins at the first step, which is harmless: files
that are as they shall be stay untouched, and where nothing has changed no commit is made; only words are said again.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from acp.exceptions import RequestError

from actors.demo import script
from actors.demo.deed import Turn, commit_all, do, put, write_done
from actors.demo.prompt import Prompt, shorten
from actors.demo.script import Step, find_block, parse
from protocol import frontmatter
from protocol.errors import Unreadable, WorkFailed

_NO_BLOCK = (
    "{} has no demo block. I am the demo agent and have no model, so I can only perform the steps of such a block: "
    "write one into the ticket, or give the ticket to another agent."
)
_INTERNAL_ERROR = -32603


@dataclass(slots=True)
class Memory:
    """What a session remembers of one ticket: the steps that are behind it, and the last answer of a person."""

    behind: list[Step] = field(default_factory=list)
    reply: str = ""


async def answer(prompt: Prompt, turn: Turn, memory: Memory) -> None:
    """Do what a prompt wants, or say why not; with a ticket that is an error, so that nobody tries it for ever."""
    try:
        await _answer(prompt, turn, memory)
    except (Unreadable, WorkFailed) as error:
        await turn.report.say(str(error), turn.pace)
        if turn.ticket:
            raise RequestError(_INTERNAL_ERROR, str(error)) from error


async def _answer(prompt: Prompt, turn: Turn, memory: Memory) -> None:
    """Find the demo block that a prompt means, and perform it."""
    text = _read_ticket(turn) if turn.ticket else prompt.text
    block = find_block(text)
    if block is None:
        if turn.ticket:
            raise WorkFailed(_NO_BLOCK.format(turn.ticket))
        await turn.report.say(_excuse(prompt))
        return
    steps = parse(block)
    if memory.behind == list(steps):
        await turn.report.say("Every step of this ticket is behind me.", turn.pace)
    whole = await _perform(steps, prompt, turn, memory)
    literal = any(isinstance(step, script.Commit | script.Done) for step in steps)
    if whole and turn.ticket and not literal:
        await _finish(text, turn)


async def _perform(steps: tuple[Step, ...], prompt: Prompt, turn: Turn, memory: Memory) -> bool:
    """Perform the steps that are not behind us, and return false where the turn ends before the last one."""
    turn.reply, answered = memory.reply, False
    for step in steps[_pass_over(steps, turn, memory) :]:
        match step:
            case script.Ask() if not prompt.reply or answered:
                await _ask(step, prompt, turn)
                return False
            case script.Ask():
                turn.reply, memory.reply, answered = prompt.reply, prompt.reply, True
            case script.Fail(text=text):
                memory.behind.append(step)
                raise RequestError(_INTERNAL_ERROR, text)
            case _:
                await do(step, turn)
        memory.behind.append(step)
        if isinstance(step, script.Rest):
            return False
    return True


def _pass_over(steps: tuple[Step, ...], turn: Turn, memory: Memory) -> int:
    """Return how many steps are behind us, and forget those that the block does not begin with any more."""
    first = 0
    for then, now in zip(memory.behind, steps, strict=False):
        if then != now:
            break
        if isinstance(now, script.Pace):
            turn.pace = now.seconds
        first += 1
    del memory.behind[first:]
    return first


async def _ask(step: script.Ask, prompt: Prompt, turn: Turn) -> None:
    """Put a question where people find it."""
    if prompt.dispatch:
        # JSON is YAML, and quotes whatever the title holds.
        head = f"---\nmode: pause\ntitle: {json.dumps(step.title, ensure_ascii=False)}\n---\n"
        await put(turn.cwd / prompt.dispatch, f"{head}\n{step.body.strip()}\n", turn)
    await turn.report.say(f"I have a question: {step.title}", turn.pace)


async def _finish(text: str, turn: Turn) -> None:
    """Commit the work under the ticket's title, and say in the ticket that it is done."""
    title = _title(text) or Path(turn.ticket).stem
    await commit_all(title, turn)
    await write_done(turn, value=True)
    # Only where the tickets themselves are in git is there something left to commit now.
    await commit_all(f"{title}: done", turn)


def _title(text: str) -> str:
    """Return the title of a ticket, or nothing where it has none that can be read."""
    try:
        return frontmatter.word(frontmatter.read(text), "title") or ""
    except Unreadable:
        return ""


def _read_ticket(turn: Turn) -> str:
    """Return the ticket as it stands on disk now; the prompt's copy may be old or shortened."""
    try:
        return (turn.cwd / turn.ticket).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WorkFailed(f"The ticket {turn.ticket} cannot be read: {error}") from error


def _excuse(prompt: Prompt) -> str:
    """Say what this agent is, to somebody who takes it for more."""
    return (
        f'Hello! You said: "{shorten(prompt.text)}". I am the demo agent and have no model, so I cannot think about '
        "it; but I perform the steps of a demo block, in a ticket or right here."
    )
