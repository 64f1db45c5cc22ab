"""The commands ``car chat`` and ``car say``: the bridge between a terminal and its room."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import nullcontext, suppress
from typing import Annotated

import typer

from actors.runtime.place import Hub, find_hub
from bridges.bridge import Bridge, Heard, carry
from bridges.cli.hear import QUIT, Keys, Pipe, Reader, lines, understand, unechoed
from bridges.cli.option import HubPath
from bridges.cli.reach import NAME, enter, here, person, play, user
from bridges.cli.screen import PROMPT, board
from bridges.cli.show import Board, Page
from protocol.address import room
from protocol.chat import Card, Left, Said
from protocol.errors import CarError, WorkFailed
from protocol.session import Place

APP = typer.Typer(rich_markup_mode=None)
FAILED, REFUSED = 1, 3
SILENCE = 600.0
"""Seconds without a sign of an answer after which nobody waits for it any more."""
LINGER = 5.0
"""Seconds for which answers are awaited after the end of what was piped in."""
LEAVING = 2.0


class Terminal:
    """A room with one person, who types."""

    name = NAME

    def __init__(self, room_: str, place: Place, reader: Reader, shown: Board) -> None:
        """Type in one room, from a folder."""
        self._room = room_
        self._place = place
        self._reader = reader
        self._board = shown
        self._last: Card | None = None
        self._working: dict[str, Card] = {}
        self._unanswered = 0
        self._answered = asyncio.Event()

    async def hear(self) -> AsyncIterator[Heard]:
        """Yield what is typed, until its end."""
        async for line in lines(sys.stdin.fileno(), self._reader, self._typed):
            if line.strip() == QUIT:
                return
            self._unanswered += 1
            if not isinstance(self._board, Page):
                self._board.say(f"\n{PROMPT} {line}", "dim")
            yield Heard(self._room, user(), understand(line, self._asked(), self._place), secrets.token_hex(8))
        if isinstance(self._reader, Pipe) and self._unanswered:
            # Whoever pipes lines in has nothing more to say, but wants to hear.
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._answered.wait()

    async def show(self, room_: str, card: Card, proof: str) -> str:
        """Show a card and remember its buttons; what is shown in a terminal needs no name."""
        del room_, proof
        self._last = card
        self._unanswered -= card.final
        (self._answered.clear if self._unanswered > 0 else self._answered.set)()
        self._working.pop(card.id, None)
        if card.tone == "working":
            self._working[card.id] = card
        self._board.show(card)
        return ""

    async def live(self, room_: str, card: Card, words: str) -> None:
        """Show what an agent is just writing."""
        del room_
        self._board.live(card, words)

    def _typed(self) -> None:
        if refresh := getattr(self._board, "refresh", None):
            refresh()

    def _asked(self) -> Card | None:
        """Return the card whose buttons are meant by a number: the last, else the newest that is being worked on."""
        working = (card for card in reversed(self._working.values()) if card.choices)
        return self._last if self._last and self._last.choices else next(working, None)


class Speaker:
    """A room in which one line is said; it ends with the answer."""

    name = NAME

    def __init__(self, room_: str, said: Said, shown: Board) -> None:
        """Say one line in a room."""
        self._room = room_
        self._said = said
        self._board = shown
        self._news = asyncio.Event()
        self.answer: Card | None = None

    async def hear(self) -> AsyncIterator[Heard]:
        """Say the line, and stay until it is answered."""
        yield Heard(self._room, user(), self._said, secrets.token_hex(8))
        while not self.answer:
            self._news.clear()
            try:
                async with asyncio.timeout(SILENCE):
                    await self._news.wait()
            except TimeoutError as error:
                raise WorkFailed(f"nothing was answered within {SILENCE / 60:.0f} minutes, type: car status") from error

    async def show(self, room_: str, card: Card, proof: str) -> str:
        """Show a card; the one that ends what was asked ends the visit."""
        del room_, proof
        self._board.show(card)
        self.answer = card if card.final else None
        self._news.set()
        return ""

    async def live(self, room_: str, card: Card, words: str) -> None:
        """Show what an agent is just writing."""
        del room_
        self._board.live(card, words)
        self._news.set()


@APP.command()
def chat(*, hub: HubPath = None) -> None:
    """Talk to CAR: /help shows the words, /quit leaves."""
    found = find_hub(hub)
    types = sys.stdin.isatty()
    reader: Reader = Keys() if types else Pipe()
    shown = board(typed=(lambda: reader.text) if types else None)
    if isinstance(shown, Page):
        reader = Pipe()
    name = _room(_terminal())
    terminal = Terminal(name, here(found), reader, shown)

    async def talk() -> None:
        with nullcontext() if isinstance(reader, Pipe) else unechoed(sys.stdin.fileno()):
            await visit(found, terminal, name, shown)

    play(talk())


@APP.command()
def say(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="What to say, such as: /flow start")],
    *,
    hub: HubPath = None,
) -> None:
    """Say one line and show what is answered; ends with 1 where that is no good news."""
    found = find_hub(hub)
    shown = board()
    name = _room("say")

    async def speak() -> Card | None:
        speaker = Speaker(name, Said(text=" ".join(text), place=here(found)), shown)
        await visit(found, speaker, name, shown)
        return speaker.answer

    answer = play(speak())
    if answer and answer.tone == "bad":
        raise typer.Exit(REFUSED if answer.refused else FAILED)


async def visit(hub: Hub, bridge: Bridge, name: str, shown: Board) -> None:
    """Be in a room until its people leave, and leave it then, whatever has happened."""
    async with enter(hub) as door:
        try:
            with shown:
                if not isinstance(shown, Page) and isinstance(bridge, Terminal):
                    shown.say("Talk to CAR. `/help` shows the words, `/quit` or Ctrl-D leaves.", "dim")
                await carry(bridge, door, name)
        finally:
            with suppress(CarError, TimeoutError):
                async with asyncio.timeout(LEAVING):
                    await door.tell(room(NAME, name), Left(), secrets.token_hex(8), person())


def _room(what: str) -> str:
    """Name a room that nobody else is in: one that is stopped in a terminal must not take the cards of the next."""
    return f"{user()}-{what}-{secrets.token_hex(3)}"


def _terminal() -> str:
    """Return how people call this terminal."""
    try:
        return os.ttyname(sys.stdin.fileno()).removeprefix("/dev/").replace("/", "")
    except OSError:
        return "pipe"
