"""The formats of what agent and person write to each other: ``DISPATCH.md`` and ``USER_REPLY.md``.

Both are markdown, with an optional head of YAML.
"""

import re
from dataclasses import dataclass
from typing import Literal

from protocol import frontmatter
from protocol.errors import Unreadable

DISPATCH = "DISPATCH.md"
REPLY = "USER_REPLY.md"

Mode = Literal["notify", "pause"]

_MODES: dict[str, Mode] = {"": "notify", "notify": "notify", "pause": "pause"}
_UNENDED = re.compile(r"\ufeff?---[ \t]*\r?\n(?:[ \t]*[\w-]+[ \t]*:.*\r?\n)*?[ \t]*(?:mode|title)[ \t]*:")
_BLANK = re.compile(r"\A(?:[ \t]*\r?\n)+")


@dataclass(frozen=True, slots=True)
class Dispatch:
    """What an agent tells people. With mode ``pause`` the work waits for an answer."""

    mode: Mode
    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person answers."""

    title: str
    body: str


def read(text: str) -> Dispatch:
    """Read a dispatch; raise ``Unreadable`` with a sentence for the agent that wrote it."""
    if not frontmatter.fenced(text):
        if _UNENDED.match(text):
            raise Unreadable(f"{DISPATCH}: the head that begins on line 1 has no end; put a line --- below its keys")
        return _full(Dispatch("notify", "", _body(text)))
    head = _head(DISPATCH, text)
    written = frontmatter.word(head, "mode")
    mode = _MODES.get((written or "").lower()) if written is not None else None
    if mode is None:
        raise Unreadable(_no_mode(written, head.lines.get("mode", 1)))
    return _full(Dispatch(mode, _title(DISPATCH, head), _body(head.body)))


def read_reply(text: str) -> Reply:
    """Read a reply; raise ``Unreadable`` with a sentence for whoever wrote it."""
    if not frontmatter.fenced(text):
        return Reply("", _body(text))
    head = _head(REPLY, text)
    return Reply(_title(REPLY, head), _body(head.body))


def reply(words: str) -> str:
    """Return the text of a reply file that says these words; words that look like a head get an empty one before."""
    text = words if words.endswith("\n") else f"{words}\n"
    return f"---\n---\n{text}" if frontmatter.fenced(text) else text


def _head(name: str, text: str) -> frontmatter.Head:
    try:
        return frontmatter.read(text)
    except Unreadable as error:
        raise Unreadable(f"{name}, {error}") from error


def _title(name: str, head: frontmatter.Head) -> str:
    title = frontmatter.word(head, "title")
    if title is None:
        raise Unreadable(f"{name}, line {head.lines.get('title', 1)}: title is no text; write it on one line")
    return title


def _body(text: str) -> str:
    return _BLANK.sub("", text.removeprefix("\ufeff").rstrip())


def _full(found: Dispatch) -> Dispatch:
    if not found.title and not found.body:
        raise Unreadable(f"{DISPATCH} is empty; write what people should know or decide")
    return found


def _no_mode(written: str | None, line: int) -> str:
    choice = "write mode: notify (people are told and the work goes on) or mode: pause (the work waits for an answer)"
    if written == "turn_summary":
        return f"{DISPATCH}, line {line}: the mode turn_summary is kept for CAR itself; {choice}"
    if not written:
        return f"{DISPATCH}, line {line}: mode is no word; {choice}"
    return f"{DISPATCH}, line {line}: there is no mode {written}; {choice}"
