"""The terminal to us: lines from stdin, read without holding anybody up, and what each of them means."""

import asyncio
import codecs
import contextlib
import os
import re
import termios
import threading
import tty
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

from protocol.chat import Card, Pressed, Said
from protocol.session import Place

QUIT = "/quit"
_CHUNK = 65_536
_ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|O.|[^\[O])")
_UNENDED = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*|O)?$")
_WORD = re.compile(r"\S*\s*$")


class Reader(Protocol):
    """Makes lines of bytes. ``text`` is what has been typed of the next one."""

    text: str

    def feed(self, data: bytes) -> tuple[str | None, ...]:
        """Take what came (nothing at its end) and return the lines that are whole now; None is the end of all."""


class Pipe:
    """Lines of a pipe or file; the last may lack its end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> tuple[str | None, ...]:
        """Take what came and return the lines that are whole now."""
        *lines, self.text = (self.text + self._decoder.decode(data, final=not data)).split("\n")
        if data:
            return tuple(lines)
        return (*lines, *filter(None, (self.text,)), None)


class Keys:
    """Lines typed at a terminal that shows nothing by itself: the screen draws what stands in ``text``."""

    def __init__(self) -> None:
        """Begin with an empty line."""
        self.text = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> tuple[str | None, ...]:
        """Take keys and return the lines that were entered; Ctrl-D in an empty line is the end."""
        if not data:
            return (None,)
        typed = _ESCAPE.sub("", self._rest + self._decoder.decode(data))
        cut = _UNENDED.search(typed)
        self._rest = cut[0] if cut else ""
        entered: list[str | None] = []
        for key in typed[: cut.start()] if cut else typed:
            self._press(key, entered)
        return tuple(entered)

    def _press(self, key: str, entered: list[str | None]) -> None:
        match key:
            case "\r" | "\n":
                entered.append(self.text)
                self.text = ""
            case "\x7f" | "\b":
                self.text = self.text[:-1]
            case "\x15":
                self.text = ""
            case "\x17":
                self.text = _WORD.sub("", self.text.rstrip())
            case "\x04" if not self.text:
                entered.append(None)
            case "\t":
                self.text += " "
            case _ if key.isprintable():
                self.text += key


async def lines(fd: int, reader: Reader, changed: Callable[[], None]) -> AsyncIterator[str]:
    """Yield the lines that come from a file, until its end; tell of every change of what is typed."""
    came: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Not through sys.stdin: its lock would hold up the end of Python while we wait in here.
        data = b"\0"
        while data:
            try:
                data = os.read(fd, _CHUNK)
            except OSError:  # a terminal that was closed
                data = b""
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever wanted to know
                loop.call_soon_threadsafe(came.put_nowait, data)

    threading.Thread(target=read, daemon=True, name="stdin").start()
    while True:
        whole = reader.feed(await came.get())
        changed()
        for line in whole:
            if line is None:
                return
            if line.strip():
                yield line


@contextlib.contextmanager
def unechoed(fd: int) -> Iterator[None]:
    """Let a terminal hand over every key at once and show none by itself; Ctrl-C stays what it is."""
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def understand(line: str, card: Card | None, place: Place) -> Said | Pressed:
    """Take the number of a button that is shown for the button itself, and all else for words."""
    text = line.strip()
    choices = card.choices if card else ()
    if card and text.isdecimal() and 0 < int(text) <= len(choices):
        return Pressed(card=card.id, says=choices[int(text) - 1].says, place=place)
    return Said(text=text, place=place)
