"""What a demo block says: the steps that the demo agent performs, as a YAML list in a fence called ``demo``.

Each step is a mapping of one key; where a step has only one thing to say, that thing stands by itself:

    say: text                       the words come one by one (or ``{text, pace}``)
    pace: seconds                   how long each word and each number takes from here on; 0 at the start
    stream: 2000                    the numbers 1 to 2000, each by itself (or ``{count, pace}``)
    wait: seconds
    write: {path, text}             a file of the checkout
    edit: {path, old, new}          the first place of ``old``; nothing where ``new`` is there already
    run: command                    in a shell, in the checkout (or ``{cmd, expect: fail}``)
    spawn: command                  in a session of its own; it outlives the turn
    read: path                      through the client
    save: {path, text}              through the client
    permission: {title, path}       asks the client; with ``text``, the file is written where that is allowed
    ask: {title, body}              asks a person, and ends the turn; later texts know the answer as ``{reply}``
    rest: text                      says it and ends the turn; the next turn on this ticket goes on behind it
    commit: message                 everything that has changed
    done: true                      writes that into the ticket
    fail: text                      the prompt is answered with an error
    nonsense: text                  a line on stdout that is no JSON
    die: code                       the agent exits at once; a negative code is a signal that it sends itself

A block that says ``commit`` or ``done`` itself is taken at its word. After any other block of a ticket the agent
commits what has changed, under the ticket's title, and sets ``done: true``.
"""

import re
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveInt, ValidationError

from protocol.errors import Unreadable

_OPENED = re.compile(r"^(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})demo[ \t]*\n", re.MULTILINE)


class Step(BaseModel):
    """One thing to do."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Say(Step):
    """Say some words."""

    text: str
    pace: NonNegativeFloat | None = None


class Pace(Step):
    """Take this long for each word from here on, in seconds."""

    seconds: NonNegativeFloat


class Stream(Step):
    """Count to a number aloud."""

    count: PositiveInt
    pace: NonNegativeFloat | None = None


class Wait(Step):
    """Do nothing for some seconds."""

    seconds: NonNegativeFloat


class Write(Step):
    """Write a file of the checkout."""

    path: str
    text: str


class Edit(Step):
    """Change one place of a file of the checkout."""

    path: str
    old: str = Field(min_length=1)
    new: str


class Run(Step):
    """Run a command to its end."""

    cmd: str
    expect: Literal["pass", "fail"] = "pass"


class Spawn(Step):
    """Start a command and leave it alone."""

    cmd: str


class Read(Step):
    """Read a file through the client."""

    path: str


class Save(Step):
    """Write a file through the client."""

    path: str
    text: str


class Permission(Step):
    """Ask the client for permission, and write a file where there is a text and the answer is yes."""

    title: str
    path: str
    text: str | None = None


class Ask(Step):
    """Ask a person."""

    title: str
    body: str = ""


class Rest(Step):
    """End the turn with some words."""

    text: str


class Commit(Step):
    """Commit everything that has changed."""

    message: str = Field(min_length=1)


class Done(Step):
    """Write into the ticket whether it is done."""

    value: bool


class Fail(Step):
    """Answer the prompt with an error."""

    text: str


class Nonsense(Step):
    """Print a line that is no message."""

    text: str


class Die(Step):
    """Exit at once."""

    code: int = Field(ge=-31, le=255)


_VOCABULARY: dict[str, tuple[type[Step], str]] = {
    # the second is the field that a plain value fills
    "say": (Say, "text"),
    "pace": (Pace, "seconds"),
    "stream": (Stream, "count"),
    "wait": (Wait, "seconds"),
    "write": (Write, ""),
    "edit": (Edit, ""),
    "run": (Run, "cmd"),
    "spawn": (Spawn, "cmd"),
    "read": (Read, "path"),
    "save": (Save, ""),
    "permission": (Permission, ""),
    "ask": (Ask, "title"),
    "rest": (Rest, "text"),
    "commit": (Commit, "message"),
    "done": (Done, "value"),
    "fail": (Fail, "text"),
    "nonsense": (Nonsense, "text"),
    "die": (Die, "code"),
}


def find_block(text: str) -> str | None:
    """Return what stands in the first demo block of a text, or nothing where there is none."""
    opened = _OPENED.search(text)
    if opened is None:
        return None
    # A fence inside the YAML is indented further than the block's own and so does not close it.
    closed = re.compile(rf"^{opened['indent']}{opened['fence']}[ \t]*$", re.MULTILINE).search(text, opened.end())
    if closed is None:
        raise Unreadable(f"The demo block is never closed: put a line {opened['fence']} behind its last step.")
    return text[opened.end() : closed.start()]


def parse(block: str) -> tuple[Step, ...]:
    """Read the steps of a demo block; raise ``Unreadable`` with a sentence that names the step at fault."""
    try:
        found: object = yaml.safe_load(block)
    except yaml.YAMLError as error:
        # PyYAML spreads its complaint over several lines; a sentence has one.
        raise Unreadable(f"The demo block is no YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(found, list) or not found:
        raise Unreadable("The demo block is no list of steps; one begins like: - say: hello")
    return tuple(_read_step(number, one) for number, one in enumerate(found, start=1))


def _read_step(number: int, found: object) -> Step:
    """Read one step."""
    where = f"Step {number} of the demo block"
    if not isinstance(found, dict) or len(found) != 1:
        raise Unreadable(f"{where} is no mapping of one key; one looks like: - say: hello")
    ((key, value),) = found.items()
    if key not in _VOCABULARY:
        raise Unreadable(f"{where} is called {key!r}; the demo agent knows {', '.join(_VOCABULARY)}.")
    step, field = _VOCABULARY[key]
    if not isinstance(value, dict):
        if not field:
            raise Unreadable(f"{where} ({key}) wants a mapping with {', '.join(step.model_fields)}.")
        value = {field: value}
    try:
        return step.model_validate(value)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise Unreadable(f"{where} ({key}) cannot be read: {wrong}.") from error
