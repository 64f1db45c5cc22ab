"""Us to the terminal: what every card looks like, and the page on which only what is new of it is printed."""

import re
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self

from rich.text import Text

from protocol.chat import Card

WIDTH = 76
"""Columns into which all buttons of a card go, or each gets a line of its own."""
PATIENCE = 1.5
"""Seconds for which a page waits for the rest of a line before it prints what there is of it."""
_OVERLAP = 200
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKUP = re.compile(r"(?<![\w*])\*\*(?=\S)(?P<bold>[^\n]+?)(?<=\S)\*\*(?![\w*])|(?<!`)`(?P<code>[^`\n]+)`(?!`)")


def clean(text: str) -> str:
    """Take out of a text what a terminal would obey instead of show."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def light(text: str, style: str = "") -> Text:
    """Show light markdown: bold is bold, code has a colour of its own."""
    shown, at, text = Text(style=style), 0, clean(text)
    for found in _MARKUP.finditer(text):
        shown.append(text[at : found.start()])
        shown.append(found["bold"] or found["code"], "bold" if found["bold"] else "cyan")
        at = found.end()
    return shown.append(text[at:])


def plain(text: str) -> str:
    """Leave light markdown out; what is code stays in its quotes."""
    return _MARKUP.sub(lambda found: found["bold"] or found[0], clean(text))


def buttons(card: Card) -> str:
    """Return the buttons of a card, numbered."""
    named = [f"[{number}] {choice.label}" for number, choice in enumerate(card.choices, 1)]
    row = "   ".join(named)
    return row if len(row) <= WIDTH else "\n".join(named)


def fresh(old: str, new: str) -> str:
    """Return what has come to a text, of which only the end may be known."""
    if new.startswith(old):
        return new[len(old) :]
    tail = old[-_OVERLAP:]
    at = new.rfind(tail)
    return new[at + len(tail) :] if at >= 0 else f"\n{new}"


class Board(Protocol):
    """Where things are shown: for good, or as long as they last."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave behind only what is for good."""

    def say(self, text: str, style: str = "") -> None:
        """Show lines for good."""

    def show(self, card: Card) -> None:
        """Show a card in the place of the one that bears its id."""

    def live(self, card: Card, words: str) -> None:
        """Show what an agent is just writing below a card; ``words`` is all that is known of it."""

    def drop(self, id_: str) -> None:
        """Show a card no longer."""


class Page:
    """A file or a pipe: what has been printed stays, so only what is new of a card is printed."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        """Print by this function."""
        self._write = write
        self._clock = clock
        self._wrote_at = clock()
        self._printed: dict[str, Counter[str]] = {}
        self._heard: dict[str, str] = {}
        self._open = ""
        self._line = ""
        self._partial = ""

    def __enter__(self) -> Self:
        """Begin to show."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the last line."""
        self._end_line()

    def say(self, text: str, style: str = "") -> None:
        """Print lines."""
        del style
        self._break_line()
        self._write(f"{plain(text)}\n")
        self._wrote_at = self._clock()

    def show(self, card: Card) -> None:
        """Print those lines of a card that it did not have before."""
        if card.live and self._open == card.id:
            self._break_line()
        else:
            self._end_line()
        printed = self._printed.setdefault(card.id, Counter())
        seen: Counter[str] = Counter()
        for line in filter(None, (*plain(card.text).split("\n"), *buttons(card).split("\n"))):
            seen[line] += 1
            if seen[line] > printed[line]:
                self._write(f"{line}\n")
                self._wrote_at = self._clock()
                printed[line] += 1
        if not card.live:
            self._heard.pop(card.id, None)

    def live(self, card: Card, words: str) -> None:
        """Print on what an agent is writing: whole lines at once, a part of one where the rest is long in coming."""
        words = clean(words)
        new = fresh(self._heard.get(card.id, ""), words)
        self._heard[card.id] = words
        if self._open != card.id:
            self._end_line()
            self._open = card.id
        *ended, self._line = (self._line + new).split("\n")
        for line in ended:
            self._write_on(line)
            self._end_printed()
        if self._line.strip() and self._clock() - self._wrote_at > PATIENCE:
            self._write_on(self._line)

    def drop(self, id_: str) -> None:
        """Forget a card."""
        if self._open == id_:
            self._end_line()
        self._printed.pop(id_, None)
        self._heard.pop(id_, None)

    def _write_on(self, line: str) -> None:
        """Bring what stands on the page of the present line up to this."""
        if new := line[len(self._partial) :]:
            self._write(new)
            self._wrote_at = self._clock()
        self._partial = line

    def _end_printed(self) -> None:
        """End the line that stands on the page, if one does; a line without a word is left out."""
        if self._partial.strip():
            self._write("\n")
            self._printed.setdefault(self._open, Counter())[self._partial] += 1
        self._partial = ""

    def _break_line(self) -> None:
        """Make room for something else: what stands of a line is ended there, what does not stand comes later."""
        if self._partial:
            self._line = self._line[len(self._partial) :].lstrip()
            self._end_printed()

    def _end_line(self) -> None:
        """Let nothing be left of what somebody was writing."""
        self._write_on(self._line)
        self._end_printed()
        self._open = self._line = ""
