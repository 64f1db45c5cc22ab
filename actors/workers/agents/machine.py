"""What a driver is: a protocol as a pure fold over the lines of a conversation, those of the agent and those of ours.

A machine is a frozen dataclass. Everything that it knows it has read off a line, in the order of the log: ``hear``
folds a line of the agent's, ``wrote`` one of ours, and ``tell`` does nothing but compute lines and fold these. So
whoever folds the log again has the machine again. A request of ours carries in its id what its answer must remind of.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Generic, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from actors.workers.agents.words import title
from protocol.agent import Driver as Name
from protocol.agent import Fact, Stumbled, Tell, Trouble
from protocol.errors import Unreadable

M = TypeVar("M")

_HOMES: dict[Name, str] = {"acp": "actors.workers.agents.acp", "codex": "actors.workers.agents.codex"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a turn ended."""

    outcome: Literal["done", "interrupted", "failed"]
    trouble: Trouble | None = None
    error: str = ""


DONE, INTERRUPTED = Verdict("done"), Verdict("interrupted")


@dataclass(frozen=True, slots=True)
class Driver(Generic[M]):
    """Speaks one protocol. No function of it does I/O, and ``hear`` never raises whatever an agent says.

    ``say`` computes the lines of a command and raises ``WorkFailed`` where the conversation is not that far.
    """

    name: Name
    adapter: TypeAdapter[M]
    born: Callable[[str], M]
    hear: Callable[[M, str, int], tuple[M, tuple[Fact, ...]]]
    say: Callable[[M, Tell], tuple[str, ...]]
    wrote: Callable[[M, str], M]
    words: Callable[[M], str]

    def tell(self, machine: M, command: Tell) -> tuple[M, tuple[str, ...]]:
        """Return the machine after a command, and the lines for the agent's stdin."""
        lines = self.say(machine, command)
        return reduce(self.wrote, lines, machine), lines

    def dump(self, machine: M) -> str:
        """Write a machine as JSON."""
        return self.adapter.dump_json(machine).decode()

    def load(self, text: str) -> M:
        """Return the machine that ``dump`` was given; raise ``Unreadable`` for anything else."""
        try:
            return self.adapter.validate_json(text)
        except ValidationError as error:
            raise Unreadable(f"this is no snapshot of the driver {self.name}: {error}") from error


def find(name: Name) -> Driver[object]:
    """Return the driver of a name."""
    # Loaded on first use: the schema of ACP alone takes most of a second.
    return cast("Driver[object]", importlib.import_module(_HOMES[name]).DRIVER)


def stumble(proc: str, number: int, line: str, why: str) -> Stumbled:
    """Say that nobody understands a line."""
    shown = title(line).encode(errors="replace").decode()
    error = f"The agent said what CAR cannot read, for {why}: {shown}"
    return Stumbled(proc=proc, line=number, trouble="nonsense", error=error)
