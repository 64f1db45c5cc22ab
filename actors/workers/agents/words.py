"""What an agent has written, kept within bounds."""

from dataclasses import dataclass

LIMIT = 100_000
"""Bytes of UTF-8 that are kept of each end of a long text."""

_TITLE = 200


@dataclass(frozen=True, slots=True)
class Words:
    """A text that grows. Of a long one the beginning and the end stay, and ``lost`` counts the characters between."""

    head: str = ""
    tail: str = ""
    lost: int = 0

    def add(self, text: str) -> "Words":
        """Return the words with a text at their end."""
        head, tail = self.head, self.tail + text
        if not self.tail:
            head = _first(self.head + text)
            tail = (self.head + text)[len(head) :]
        kept = _last(tail)
        return Words(head, kept, self.lost + len(tail) - len(kept))

    def paragraph(self) -> "Words":
        """Return the words ready for another paragraph."""
        end = (self.tail or self.head)[-2:]
        return self.add("" if not end or end == "\n\n" else "\n" if end[-1] == "\n" else "\n\n")

    def __str__(self) -> str:
        """Show the text; where something is left out, a line says how much."""
        gap = f"\n[... {self.lost} characters left out ...]\n" if self.lost else ""
        return f"{self.head}{gap}{self.tail}"


def title(text: str, limit: int = _TITLE) -> str:
    """Return a text as one line of at most so many characters."""
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def _first(text: str) -> str:
    return text.encode()[:LIMIT].decode(errors="ignore")


def _last(text: str) -> str:
    return text.encode()[-LIMIT:].decode(errors="ignore")
