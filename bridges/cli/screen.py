"""Us to a terminal that can be drawn on: what is being worked on stays at the bottom, everything else above."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from bridges.cli.show import Board, Page, buttons, clean, light
from protocol.chat import Card

WORDS = 6
"""Lines of what an agent is writing that are shown."""
LAST = 3
"""Lines of an agent's last words that stay."""
PROMPT = ">"
_STYLES = {"good": "green", "bad": "red", "question": "yellow", "plain": "", "working": ""}


class Screen:
    """A terminal: what is being worked on stands at the bottom and is drawn anew, everything else stays above."""

    def __init__(self, console: Console, typed: Callable[[], str] | None = None) -> None:
        """Draw on a console; where somebody types, ``typed`` returns what they have typed so far."""
        self._console = console
        self._typed = typed
        self._working: dict[str, tuple[Card, float]] = {}
        self._words: dict[str, str] = {}
        self._live = Live(
            get_renderable=self.draw,
            console=console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
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
        """Draw a card no longer; the last words below it stay."""
        last = self._tail(id_, LAST)
        self._working.pop(id_, None)
        self._words.pop(id_, None)
        for line in last:
            self._console.print(line)
        self.refresh()

    def refresh(self) -> None:
        """Draw anew."""
        if self._live.is_started:
            self._live.refresh()

    def draw(self) -> RenderableType:
        """Return what stands at the bottom now."""
        # A copy: this is drawn from a thread of its own as well.
        rows = [row for card, since in tuple(self._working.values()) for row in self._rows(card, since)]
        typed = self._typed
        prompt = (Text(f"{PROMPT} {typed()}▏", overflow="ellipsis", no_wrap=True),) if typed else ()
        room = max(self._console.height - 1 - len(prompt), 1)
        return Group(*rows[-room:], *prompt)

    def _rows(self, card: Card, since: float) -> Iterator[RenderableType]:
        head, *rest = card.text.split("\n")
        row = Table.grid(padding=(0, 1))
        row.add_row(Spinner("dots"), light(head.lstrip()), Text(_duration(time.monotonic() - since), "dim"))
        yield row
        for line in (*rest, *buttons(card).split("\n")):
            if line:
                yield _one_line(light(line))
        yield from self._tail(card.id, WORDS)

    def _tail(self, id_: str, count: int) -> tuple[Text, ...]:
        """Return the end of the last paragraph that an agent has written."""
        words = self._words.get(id_, "").strip().rpartition("\n\n")[2]
        wrapped = Text(words, "dim").wrap(self._console, max(self._console.width - 4, 1)) if words else ()
        return tuple(Text("  │ ", "dim").append_text(line) for line in wrapped[-count:])


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


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Show on stderr that something takes its time, where somebody sees it."""
    console = Console(stderr=True)
    with console.status(text) if console.is_terminal and not console.is_dumb_terminal else nullcontext():
        yield


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
