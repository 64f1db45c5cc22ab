"""What happened, as it is judged afterwards: what was accepted, what became of it, and the log of the whole."""

import json
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.chaos.cast import Being

FAILS = "fails"
"""Who tells what every step fails on."""


class Accepted(NamedTuple):
    """A message that was told from outside, and that the server has stored."""

    n: int
    seq: int
    at: float


class Fact(NamedTuple):
    """One row of EVENT: the name of the event and what is in it."""

    name: str
    body: dict[str, int]


class Dead(NamedTuple):
    to: str
    id: str
    why: str


class Finding(NamedTuple):
    """Something that must not be: its kind, whom it concerns, and what it is."""

    kind: str
    actor: str
    text: str
    count: int = 1
    seq: int = 0
    """The mail concerned, where one is."""


@dataclass
class History:
    """All that the checker needs. ``accepted`` is by (who told, whom), ``lives`` is what each child was told."""

    accepted: dict[tuple[str, str], list[Accepted]] = field(default_factory=lambda: defaultdict(list))
    unsure: dict[tuple[str, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    """Numbers that were refused in the end, but of which one try was not answered: they may have been heard."""
    lives: dict[str, list[tuple[str, int]]] = field(default_factory=lambda: defaultdict(list))
    watchers: tuple[tuple[str, str], ...] = ()
    """(who publishes, who is told)."""
    accounts: int = 0
    beings: dict[str, Being] = field(default_factory=dict)
    facts: dict[str, list[Fact]] = field(default_factory=lambda: defaultdict(list))
    dead: list[Dead] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    found: list[Finding] = field(default_factory=list)
    """What was seen to be wrong while it went on."""


class Log:
    """A line for each thing that happens; on failure the lines of whoever is concerned are shown."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w")
        self._path = path
        self._began = time.monotonic()

    @property
    def now(self) -> float:
        return round(time.monotonic() - self._began, 3)

    def note(self, what: str, who: str = "", **more: object) -> None:
        self._file.write(json.dumps({"t": self.now, "what": what, "who": who, **more}) + "\n")

    def around(self, who: str, seq: int = 0, lines: int = 14) -> list[str]:
        """Return lines of somebody around one mail (or the last ones), with the faults between them."""
        if not self._file.closed:
            self._file.flush()
        near = f'"who": "{who}"'
        with self._path.open() as file:
            own = [line.rstrip() for line in file if near in line or '"what": "fault"' in line]
        wanted = f'"seq": {seq},' if seq else near
        at = max((number for number, line in enumerate(own) if near in line and wanted in line), default=len(own) - 1)
        return own[max(0, at - lines) : at + lines // 2]

    def close(self) -> None:
        self._file.close()
