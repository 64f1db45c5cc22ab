"""Us to the terminal: cards drawn in place where there is a screen, else printed line by line as they change."""

import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from protocol.chat import Card

WIDTH = 76
"""Columns into which all buttons of a card go, or each gets a line of its own."""
WORDS = 6
"""Lines of what an agent is writing that a screen shows."""
_OVERLAP = 200
_STYLES = {"good": "green", "bad": "red", "question": "yellow", "plain": "", "working": ""}
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
    """Number the buttons of a card."""
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

    def __enter__(self) -> "Board":
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

    def __init__(self, write: Callable[[str], object]) -> None:
        """Print by this function."""
        self._write = write
        self._printed: dict[str, Counter[str]] = {}
        self._heard: dict[str, str] = {}
        self._open = ""
        self._line = ""

    def __enter__(self) -> "Page":
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
        self._end_line()
        self._write(f"{plain(text)}\n")

    def show(self, card: Card) -> None:
        """Print those lines of a card that it did not have before."""
        self._end_line()
        printed = self._printed.setdefault(card.id, Counter())
        seen: Counter[str] = Counter()
        for line in filter(None, (*plain(card.text).split("\n"), *buttons(card).split("\n"))):
            seen[line] += 1
            if seen[line] > printed[line]:
                self._write(f"{line}\n")
                printed[line] += 1
        if not card.live:
            self._heard.pop(card.id, None)

    def live(self, card: Card, words: str) -> None:
        """Print on what an agent is writing."""
        words = clean(words)
        new = fresh(self._heard.get(card.id, ""), words)
        self._heard[card.id] = words
        if self._open != card.id:
            self._end_line()
        self._open = card.id
        self._write(new)
        *ended, self._line = (self._line + new).split("\n")
        self._printed.setdefault(card.id, Counter()).update(ended)

    def drop(self, id_: str) -> None:
        """Forget a card."""
        self._end_line()
        self._printed.pop(id_, None)
        self._heard.pop(id_, None)

    def _end_line(self) -> None:
        if self._line:
            self._write("\n")
            self._printed.setdefault(self._open, Counter())[self._line] += 1
        self._open = self._line = ""


class Screen:
    """A terminal: what is being worked on stands at the bottom and is drawn anew, everything else stays above."""

    def __init__(self, console: Console, typed: Callable[[], str] | None = None) -> None:
        """Draw on a console; where somebody types, ``typed`` returns what they have typed so far."""
        self._console = console
        self._typed = typed
        self._working: dict[str, tuple[Card, float]] = {}
        self._words: dict[str, str] = {}
        self._live = Live(
            get_renderable=self._draw,
            console=console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "Screen":
        """Begin to draw."""
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wipe away what was only for now."""
        self._working.clear()
        self._typed = None
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """Print lines above what is being worked on."""
        self._console.print(light(text, style))

    def show(self, card: Card) -> None:
        """Draw a card at the bottom as long as it is being worked on, and above for good when it is not."""
        _, since = self._working.pop(card.id, (card, time.monotonic()))
        if not card.live:
            self._words.pop(card.id, None)
        if card.tone == "working":
            self._working[card.id] = (card, since)
        else:
            self._console.print(Text(), *_lines(card), sep="\n")
        self.refresh()

    def live(self, card: Card, words: str) -> None:
        """Draw what an agent is just writing below a card."""
        self._words[card.id] = clean(words)
        self.refresh()

    def drop(self, id_: str) -> None:
        """Draw a card no longer."""
        self._working.pop(id_, None)
        self._words.pop(id_, None)
        self.refresh()

    def refresh(self) -> None:
        """Draw anew."""
        if self._live.is_started:
            self._live.refresh()

    def _draw(self) -> RenderableType:
        # A copy: this is drawn from a thread of its own as well.
        rows = [row for card, since in tuple(self._working.values()) for row in self._rows(card, since)]
        typed = self._typed
        prompt = (Text(f"› {typed()}▏", overflow="ellipsis", no_wrap=True),) if typed else ()
        room = max(self._console.height - 1 - len(prompt), 1)
        return Group(*rows[-room:], *prompt)

    def _rows(self, card: Card, since: float) -> Iterator[RenderableType]:
        head, *rest = card.text.split("\n")
        row = Table.grid(padding=(0, 1))
        row.add_row(Spinner("dots"), light(head), Text(_duration(time.monotonic() - since), "dim"))
        yield row
        for line in (*rest, *buttons(card).split("\n")):
            if line:
                yield _one_line(light(line))
        for words in self._tail(card.id):
            yield words

    def _tail(self, id_: str) -> Iterator[Text]:
        words = self._words.get(id_, "").strip("\n")
        if words:
            wrapped = Text(words, "dim").wrap(self._console, max(self._console.width - 4, 1))
            for line in wrapped[-WORDS:]:
                yield Text("  │ ", "dim").append_text(line)


def _lines(card: Card) -> Iterator[Text]:
    head, *rest = card.text.split("\n")
    yield light(head, _STYLES[card.tone])
    yield from map(light, rest)
    if card.choices:
        yield light(buttons(card), "cyan")


def _one_line(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02}" if seconds >= 1 else ""


def board(*, stderr: bool = False, typed: Callable[[], str] | None = None) -> Board:
    """Return a screen where there is one, else a page."""
    stream = sys.stderr if stderr else sys.stdout
    console = Console(file=stream, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return Screen(console, typed)

    def write(text: str) -> None:
        stream.write(text)
        stream.flush()

    return Page(write)
