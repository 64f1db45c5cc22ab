"""The words of a chat: what a person may type, what each word means, and the one table behind both.

A new word is a new line of the table. Where it tells a repository something, that is all; the few that concern the
room itself are known to the room by what they say.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import SequenceMatcher

from protocol.message import Message
from protocol.repo import DescribeRepo, ResumeFlow, StartFlow, StopFlow, Talk

Tell = Callable[[str], Message]

ALIKE = 0.75
"""How like a word must be to what was typed (1 is the same)."""

_SLASHED = re.compile(r"/[A-Za-z]+(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Word:
    """One word. ``takes`` shows what may follow it: nothing, ``<repo>`` (must), ``[text]`` (may).

    ``tells`` makes of what follows the message to the repository; the room itself knows what to do without.
    """

    says: str
    means: str
    takes: str = ""
    tells: Tell | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A line, read. ``says`` is a word of the table, what looks like one, or nothing for plain text."""

    says: str
    rest: str = ""


TABLE = (
    Word("/help", "show these words"),
    Word("/status", "show what happens in the repository", tells=lambda _: DescribeRepo()),
    Word("/repos", "show the repositories"),
    Word("/bind", "work with this repository from now on", takes="<repo>"),
    Word("/flow start", "let agents work through the tickets", tells=lambda _: StartFlow()),
    Word("/flow status", "show how far the run is", tells=lambda _: DescribeRepo()),
    Word("/flow stop", "end the run", tells=lambda _: StopFlow()),
    Word("/flow resume", "let the paused run go on", takes="[text]", tells=lambda text: ResumeFlow(reply=text)),
)
WORDS = {one.says: one for one in TABLE}
PLAIN = Word("", "speak to the agent, or answer the run that asks", tells=lambda text: Talk(text=text))
HEADS = frozenset(says.partition(" ")[0] for says in WORDS if " " in says)


def read(text: str) -> Line:
    """Tell the word from what follows it. A path such as ``/usr/bin`` is no word, it is text."""
    text = text.strip()
    if not _SLASHED.match(text):
        return Line("", text)
    first, *more = text.split(None, 1)
    first, rest = first.lower(), "".join(more)
    if first in HEADS and rest:
        second, *more = rest.split(None, 1)
        return Line(f"{first} {second.lower()}", "".join(more))
    return Line(first, rest)


def closest(line: Line) -> tuple[Word, ...]:
    """Return a few words that somebody may have meant, the likeliest first."""
    if line.says in HEADS:
        return tuple(one for one in TABLE if one.says.startswith(f"{line.says} "))
    typed = (line.says, " ".join((line.says, *line.rest.split()[:1])), *(f"{head} {line.says[1:]}" for head in HEADS))
    alike = {one: max(SequenceMatcher(None, text, one.says).ratio() for text in typed) for one in TABLE}
    near = [one for one in TABLE if alike[one] >= ALIKE]
    return tuple(sorted(near, key=lambda one: -alike[one])[:3])
