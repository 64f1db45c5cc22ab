"""What the demo agent reads off a prompt: which ticket, where to ask a person, and what a person has answered."""

import re
from dataclasses import dataclass

_TICKET = re.compile(r"\.codex-autorunner/tickets/TICKET-\d{3,}[^\n/]*?\.md", re.IGNORECASE)
_MENTION = re.compile(r"\.codex-autorunner/tickets/TICKET-\d{3,}[^\s/]*?\.md", re.IGNORECASE)
_DISPATCH = re.compile(r"\.codex-autorunner/runs/[A-Za-z0-9_-]+/DISPATCH\.md")
_HEADING = re.compile(r"^## Reply \d+[ \t]*\n+", re.MULTILINE)
_SHORT = 200


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt, read. ``ticket`` and ``dispatch`` are paths inside the checkout; what is not named is empty.

    ``chosen`` is true where the prompt is about the ticket, and false where it only mentions one.
    """

    text: str
    ticket: str = ""
    chosen: bool = False
    dispatch: str = ""
    reply: str = ""


def read_prompt(text: str) -> Prompt:
    """Read a prompt, whoever wrote it."""
    before, section, behind = _cut(text, "CAR_CURRENT_TICKET_FILE")
    # What the ticket says about sections is not the prompt's word.
    around = f"{before}\n{behind}"
    chosen = _TICKET.search(section)
    mentioned = _MENTION.findall(around)
    dispatch = _DISPATCH.search(_cut(around, "CAR_RUNTIME_PATHS")[1]) or _DISPATCH.search(around)
    return Prompt(
        text=text,
        ticket=chosen[0] if chosen else (mentioned or [""])[-1],
        chosen=chosen is not None,
        dispatch=dispatch[0] if dispatch else "",
        reply=_HEADING.sub("", _cut(around, "CAR_HUMAN_REPLIES")[1]).strip(),
    )


def shorten(text: str) -> str:
    """Return a text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[:_SHORT].rstrip()}..."


def _cut(text: str, tag: str) -> tuple[str, str, str]:
    """Return what stands before, in and behind the last section of that name; without one, all is before."""
    front, closed, behind = text.rpartition(f"</{tag}>")
    before, opened, inside = front.rpartition(f"<{tag}>")
    return (before, inside, behind) if closed and opened else (text, "", "")
