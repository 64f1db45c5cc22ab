"""The format of a ticket: ``TICKET-007-short-title.md``, a head of YAML and the task in markdown.

The number in the name is the place in the queue. Keys that are not known here mean nothing and stay as they are.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from posixpath import basename

from protocol import frontmatter
from protocol.errors import Unreadable
from protocol.frontmatter import set_key
from protocol.work import Ticket

__all__ = ["USER", "complaints", "new_ticket", "number", "queue", "read", "set_key", "slug", "unknown", "unread"]

USER = "user"
"""The agent of a ticket that a person does."""

_NAME = re.compile(r"TICKET-([0-9]{3,})[^/]*\.md", re.IGNORECASE)
_SLUG_LENGTH = 48


def number(name: str) -> int | None:
    """Return the number in a ticket's file name; nothing where the name is no ticket's."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found and _printable(name) else None


def queue(names: Iterable[str]) -> tuple[str, ...]:
    """Return the file names of tickets in the order in which they are worked through."""
    numbered = ((number(name), name) for name in names)
    return tuple(name for at, name in sorted((at, name) for at, name in numbered if at is not None))


def complaints(names: Iterable[str]) -> tuple[str, ...]:
    """Say what is wrong with a folder of tickets that holds files of these names."""
    holders: dict[int, list[str]] = defaultdict(list)
    strays: list[str] = []
    for name in sorted(names):
        if (at := number(name)) is not None:
            holders[at].append(name)
        elif name != "AGENTS.md" and not name.startswith("."):
            strays.append(name)
    return (
        *(
            f"{', '.join(same)}: these tickets have the same number {at}; give each a number of its own"
            for at, same in sorted(holders.items())
            if len(same) > 1
        ),
        *(
            f"{_shown(name)} is no ticket; name it like TICKET-001-short-title.md, or move it to another folder"
            for name in strays
        ),
    )


def read(path: str, text: str, agents: frozenset[str]) -> Ticket:
    """Read a ticket; whatever is wrong with it stands in its ``problems``, and then it counts as not done."""
    name = basename(path)
    ticket = Ticket(path=path, number=number(name) or 0, text=text)
    try:
        head = frontmatter.read(text)
    except Unreadable as error:
        return ticket.model_copy(update={"problems": (f"{name}, {error}",)})
    words = {key: frontmatter.word(head, key) for key in ("agent", "title", "model", "reasoning")}
    problems = tuple(_problems(name, head, words, agents))
    return ticket.model_copy(
        update={
            "agent": words["agent"] or "",
            "title": words["title"] or "",
            "model": words["model"] or "",
            "effort": words["reasoning"] or "",
            "done": head.values.get("done") is True and not problems,
            "problems": problems,
        }
    )


def unread(path: str, why: str) -> Ticket:
    """Return a ticket whose file could not be read at all."""
    name = basename(path)
    return Ticket(path=path, number=number(name) or 0, problems=(f"{name}: {why}",))


def new_ticket(at: int, title: str, agent: str, body: str = "") -> tuple[str, str]:
    """Return the file name and the text of a new ticket with number ``at``."""
    short = slug(title)
    name = f"TICKET-{at:03d}-{short}.md" if short else f"TICKET-{at:03d}.md"
    text = "---\n---\n"
    for key, value in (("title", " ".join(title.split())), ("agent", agent), ("done", False)):
        if value != "":
            text = set_key(text, key, value)
    task = body.strip("\r\n")
    return name, f"{text}\n{task}\n" if task else text


def unknown(agent: str, agents: frozenset[str]) -> str:
    """Say that there is no such agent; nothing where there is."""
    return "" if agent in agents | {USER} else f"no agent is called {agent}; choose one of {_known(agents)}"


def slug(title: str) -> str:
    """Make a title fit for a file name: plain lower-case words with dashes; empty where nothing is left."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) <= _SLUG_LENGTH:
        return words
    return words[: _SLUG_LENGTH + 1].rpartition("-")[0] or words[:_SLUG_LENGTH]


def _problems(name: str, head: frontmatter.Head, words: dict[str, str | None], agents: frozenset[str]) -> Iterable[str]:
    """Yield a sentence for each thing that is wrong with the keys."""
    agent, done = words["agent"], head.values.get("done")
    if not agent or not isinstance(head.values["agent"], str):
        yield f"{_where(name, head, 'agent')}: agent is missing; say who does the work: {_known(agents)}"
    elif unknown(agent, agents):
        yield f"{_where(name, head, 'agent')}: {unknown(agent, agents)}"
    if "done" not in head.values:
        yield f"{name}: done is missing; write done: false"
    elif not isinstance(done, bool):
        yield f"{_where(name, head, 'done')}: done is neither true nor false; write done: false (without quotes)"
    for key, value in words.items():
        if value is None and key != "agent":
            yield f"{_where(name, head, key)}: {key} is no text; write it on one line"


def _known(agents: frozenset[str]) -> str:
    return ", ".join((*sorted(agents - {USER}), USER))


def _where(name: str, head: frontmatter.Head, key: str) -> str:
    line = head.lines.get(key)
    return f"{name}, line {line}" if line else name


def _printable(name: str) -> bool:
    """Say whether a file name is text: bytes that are none come as surrogates, which no message can carry."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _shown(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()
